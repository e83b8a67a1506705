"""Paths as commands take them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click


class _Named(click.Path):
    """A path that names something: an empty one, often a variable that is not set, would be the current folder."""

    def convert(self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not os.fspath(value):
            self.fail("the path is empty; write . for the current folder", param, ctx)
        return super().convert(value, param, ctx)


PATH = _Named(path_type=Path)
