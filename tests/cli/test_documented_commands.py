"""Every `gatehouse` command in the documents is one that the command line takes, with the switches that it is shown with."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from prefect_gatehouse.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("*/README.md"))]


def commands(text: str) -> list[str]:
    """What stands after `gatehouse` in blocks and in the text."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    found = [line for block in fenced for line in block.splitlines()]
    found += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    shown = (re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?gatehouse ([a-z][^#>]*)", line.strip()) for line in found)
    return [match[1].strip().rstrip(".,;:") for match in shown if match is not None]


def problem(text: str) -> str | None:
    """What is wrong with a command as it is shown; None if nothing is."""
    words = shlex.split(text.partition(" && ")[0].partition(" | ")[0])
    group: click.Command = main
    while isinstance(group, click.Group) and words and not words[0].startswith("-"):
        found = group.get_command(click.Context(group), words.pop(0))
        if found is None:
            return "there is no such command"
        group = found
    taken = {name for parameter in group.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in taken]
    return f"no such switch: {', '.join(unknown)}" if unknown else None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_documented_is_there(document: Path) -> None:
    """A reader who types it gets no usage error."""
    found = commands(document.read_text())
    assert [(text, why) for text in found if (why := problem(text))] == []


def test_commands_are_found() -> None:
    """The search finds blocks, prompts and words in the text, and tells what is not there."""
    assert len(commands((ROOT / "README.md").read_text())) >= 8
    assert commands("`gatehouse show RUN`\n\n```\n$ A=1 gatehouse runs --open  # all\n```\n") == ["runs --open", "show RUN"]
    assert problem("runs --closed") and problem("nonsense") and not problem("people add a --role approver --totp")
