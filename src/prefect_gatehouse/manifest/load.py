"""Reading a manifest: YAML in, every problem at once with file, line and field, and one digest that ignores formatting."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from prefect_gatehouse.canonical import digest
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.manifest.problems import Problem, from_pydantic
from prefect_gatehouse.manifest.secret_text import holds_secret, names_secret
from prefect_gatehouse.manifest.yaml_tree import Tree, YamlProblem, parse

SIZE_LIMIT = 1024 * 1024
"""Bytes; a manifest is a page or two."""


@dataclass(frozen=True)
class LoadedManifest:
    """A manifest with its digest and where it stands.

    Attributes:
        manifest: The parsed manifest.
        digest: SHA-256 over the RFC 8785 form of its content.
        path: The file.
        folder: Its folder; every path in the manifest is relative to it.
    """

    manifest: Manifest
    digest: str
    path: Path
    folder: Path


def manifest_digest(manifest: Manifest) -> str:
    """The digest of a manifest's content; comments and formatting do not matter."""
    return digest(json.loads(manifest.model_dump_json(by_alias=True)))


def load_manifest(path: Path) -> LoadedManifest:
    """Reads a manifest.

    Raises:
        InputError: It has problems; the first is told, ``gatehouse check`` tells all.
    """
    manifest, problems = read(path)
    if manifest is None:
        first = problems[0]
        more = f"; {len(problems) - 1} more problems, run: gatehouse check" if len(problems) > 1 else ""
        raise InputError(first.message, where=first.place(), advice=(first.advice or "correct the manifest") + more)
    return LoadedManifest(manifest, manifest_digest(manifest), path, path.parent)


def read(path: Path) -> tuple[Manifest | None, list[Problem]]:
    """The manifest, or every problem of its text and its fields."""
    _, manifest, problems = survey(path)
    return manifest, problems


def survey(path: Path) -> tuple[Tree | None, Manifest | None, list[Problem]]:
    """The text as a tree (None if it is no YAML), the manifest (None if anything is wrong), and the problems of both."""
    return _survey(lambda: _decoded(_data(path)), path)


def digest_of(data: bytes) -> str:
    """The digest of a manifest that lies in no file; empty where it is none."""
    manifest = _survey(lambda: _decoded(data), Path("manifest"))[1]
    return manifest_digest(manifest) if manifest is not None else ""


def _survey(text: Callable[[], str], path: Path) -> tuple[Tree | None, Manifest | None, list[Problem]]:
    try:
        tree = parse(text())
    except InputError as error:
        return None, None, [Problem(str(path), 1, 1, "", error.message, error.advice)]
    except YamlProblem as problem:
        advice = problem.advice or "start one with: gatehouse init"
        return None, None, [Problem(str(path), problem.line, problem.column, problem.field, problem.message, advice)]
    problems = [Problem(str(path), line, column, field, "the key is given twice", "keep one of them") for field, line, column in tree.repeated]
    manifest = None
    try:
        # As JSON and strict, so that types are what the schema says: no "5" for 5 and no yes for 1, but a list for a tuple.
        manifest = Manifest.model_validate_json(json.dumps(tree.value), strict=True, by_alias=True, by_name=False)
    except ValidationError as error:
        problems += from_pydantic(error.errors(include_url=False, include_input=False), str(path), tree)
    problems = [*_with_unclear(problems, tree, str(path)), *_about_secrets(tree, str(path), {problem.field for problem in problems})]
    problems.sort(key=lambda item: (item.line, item.column))
    return tree, None if problems else manifest, problems


def _with_unclear(problems: list[Problem], tree: Tree, path: str) -> list[Problem]:
    """The problems, and what the versions of YAML read differently: on its own, or as the reason of a field's problem."""
    told, fields = [], {(problem.line, problem.column, problem.field) for problem in problems}
    why = {(line, column, field): found for field, line, column, found in tree.unclear}
    for problem in problems:
        found = why.get((problem.line, problem.column, problem.field))
        told.append(problem if found is None else replace(problem, advice=f"{found.reason}: {found.advice}"))
    alone = (item for item in tree.unclear if (item[1], item[2], item[0]) not in fields)
    return told + [Problem(path, line, column, field, found.reason, found.advice) for field, line, column, found in alone]


def _about_secrets(tree: Tree, path: str, told: Container[str]) -> Iterator[Problem]:
    """What would stand in clear wherever the manifest does; a field that has another problem is told of that one first."""
    for loc, text in tree.texts():
        field, (line, column) = tree.locate(loc)
        named = loc[:2] == ("workload", "parameters") and bool(text) and any(names_secret(str(part)) for part in loc[2:])
        if field not in told and (named or holds_secret(text, sql=field == "data.source.sql")):
            advice = "keep it in a secret block, and change it if others may have seen this file"
            yield Problem(path, line, column, field, "this holds a password, a token or a key", advice)


def _data(path: Path) -> bytes:
    try:
        # Not blocking, and looked at before it is read: a named pipe or a device must not hold the command.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise InputError("this is not a file", advice="give the manifest's file, usually gatehouse.yaml")
            return stream.read(SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or "the path is none"
        raise InputError(f"the manifest can't be read: {reason}", advice="check the path and its permissions") from None


def _decoded(data: bytes) -> str:
    if len(data) > SIZE_LIMIT:
        raise InputError(f"the manifest is larger than {SIZE_LIMIT} bytes", advice="give the manifest, not the data")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise InputError("the manifest is not UTF-8 text", advice="save it as UTF-8") from None
    if "\0" in text:
        raise InputError("the manifest holds a NUL character", advice="save it as plain text")
    return text
