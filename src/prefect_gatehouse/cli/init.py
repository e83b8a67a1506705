"""``gatehouse init``: a new pipeline that passes ``gatehouse check`` as it stands, and the caller's own signing key."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import socket
import unicodedata
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

from prefect_gatehouse import __version__
from prefect_gatehouse.cli.output import emit, gatehouse_command
from prefect_gatehouse.cli.paths import PATH
from prefect_gatehouse.errors import Denied, InputError, StorageError

if TYPE_CHECKING:
    from prefect_gatehouse.settings import Settings

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST = 63  # as the manifest's own pattern has it
_CLEARANCE = "confidential"  # the class of what the template's pipeline makes; nobody clears themselves for restricted data
_SUFFIX = ".in"  # templates are no code and no configuration of this package: linters, pytest and git pass them by


@click.argument("folder", type=PATH)
@click.option("--name", help="The pipeline's name; the folder's unless given. Written in a-z, 0-9 and hyphens: Adult Income is adult-income.")
@click.option("--person", help="Who you are in the registry of people; USER@HOST unless given.")
def _init(folder: Path, name: str | None, person: str | None, as_json: bool) -> None:
    """Write a new pipeline into FOLDER and make your signing key.

    Writes manifest, workload, synthetic sample, suites, tests and a CI job; nothing that exists is overwritten. The key signs your
    requests. It never makes you an approver.
    """
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    name = _name(folder, name)
    if not _NAME.fullmatch(settings.environment):
        raise InputError("the environment's name has not the form of one", where="GATEHOUSE_ENVIRONMENT", advice="use a-z, 0-9 and hyphens")
    _refuse_existing(folder)
    identity = _identity(settings, person)
    words = {"NAME": name, "PERSON": str(identity["person"]), "ENVIRONMENT": settings.environment, "VERSION": __version__}
    written = write_template(folder, words)
    data = {"folder": str(folder), "name": name, "files": written, **identity}
    emit(data, as_json, lambda: click.echo("\n".join(_next(data))))


command = gatehouse_command("init", "Write a new pipeline from a template, and make your signing key.")(_init)


def _next(data: dict[str, object]) -> list[str]:
    key = f"key {data['fingerprint']} ({data['key']})"
    public = shlex.quote(f"{data['key']}.pub")
    add = f"gatehouse people add {shlex.quote(str(data['person']))} --role requester --key {public} --clearance {_CLEARANCE}"
    missing = f"; whoever keeps the registry runs: {add}"
    files_written = data["files"]
    assert isinstance(files_written, list)
    return [
        f"{data['folder']}: {len(files_written)} files written, pipeline {data['name']}",
        f"you are {data['person']}, requester, {key}" if data["registered"] else f"you have {key}{missing}",
        "next:",
        f"  1. cd {_operand(str(data['folder']))}",
        "  2. gatehouse check gatehouse.yaml && python -m pytest",
        "  3. make the two secrets that README.md names",
        "  4. gatehouse plan gatehouse.yaml",
        "  5. somebody else becomes the approver (gatehouse people add), then: gatehouse run gatehouse.yaml",
    ]


def _operand(path: str) -> str:
    """A path as a shell's word that no command takes for an option."""
    return shlex.quote(f"./{path}" if path.startswith("-") else path)


def _name(folder: Path, name: str | None) -> str:
    """The name of a pipeline from words that people use; what would be a path, or leaves nothing, is none."""
    made = slug(name) if name is not None else slug(folder.resolve().name)[:_LONGEST].strip("-")
    if not _NAME.fullmatch(made) or (name is not None and (re.search(r"[/\\]", name) or not name.isprintable())):
        example = made[:_LONGEST].strip("-") or "pump-readings"
        advice = f"use letters a-z, digits and hyphens, at most {_LONGEST}, for example: --name {example}"
        raise InputError("this is no name for a pipeline", where="--name", advice=advice)
    return made


def slug(words: str) -> str:
    """Words in lower case and without accents, joined by hyphens."""
    plain = "".join(each for each in unicodedata.normalize("NFKD", words.casefold()) if not unicodedata.combining(each))
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def _templates(folder: Traversable, below: PurePosixPath) -> Iterator[tuple[PurePosixPath, str]]:
    for item in sorted(folder.iterdir(), key=lambda each: each.name):
        target = below / re.sub(r"^dot-", ".", item.name.removesuffix(_SUFFIX))
        if item.is_dir():
            yield from _templates(item, target)
        elif item.name.endswith(_SUFFIX):
            yield target, item.read_text(encoding="utf-8")


def templates() -> list[tuple[PurePosixPath, str]]:
    """Path and text of each file of a new pipeline."""
    return list(_templates(files("prefect_gatehouse") / "templates" / "pipeline", PurePosixPath()))


def _refuse_existing(folder: Path) -> None:
    """All or nothing: looks at every target before anything is written, and at links that would lead elsewhere."""
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError("there is a file of this name", where=str(folder), advice="name a folder")
    paths = [path for path, _ in templates()]
    taken = {str(path) for path in paths if os.path.lexists(folder / path)}
    for parent in {parent for path in paths for parent in path.parents if parent.parts}:
        place = folder / parent
        if os.path.lexists(place) and (place.is_symlink() or not place.is_dir()):
            taken.add(str(parent))
    if taken:
        raise InputError(f"these exist already: {', '.join(sorted(taken))}", where=str(folder), advice="nothing was written; name another folder")


def write_template(folder: Path, words: dict[str, str]) -> list[str]:
    """Writes every file of the template, each ``@WORD@`` replaced; if one can't be written, those before it are removed.

    Returns:
        The paths, relative to the folder.

    Raises:
        StorageError: A file can't be written.
    """
    done: list[Path] = []
    made: list[Path] = []
    try:
        for path, text in templates():
            target = folder / path
            for parent in reversed(target.parents):
                if not parent.exists():
                    parent.mkdir()
                    made.append(parent)
            for word, value in words.items():
                text = text.replace(f"@{word}@", value)
            # Exclusive: a file that appeared since the look is not overwritten.
            with target.open("x", encoding="utf-8", newline="\n") as stream:
                done.append(target)
                stream.write(text)
    except OSError as error:
        for target in done:
            target.unlink(missing_ok=True)
        for parent in reversed(made):
            parent.rmdir()
        advice = "nothing was left behind; name a folder that you may write to"
        raise StorageError(f"the pipeline can't be written: {error.strerror}", where=str(folder), advice=advice) from None
    return [str(path) for path, _ in templates()]


def _identity(settings: Settings, person: str | None) -> dict[str, object]:
    """The caller's key, made if missing, and its owner in the registry, entered as requester if the key is nobody's."""
    from prefect_gatehouse.identity.keys import fingerprint, generate_key, public_line
    from prefect_gatehouse.identity.people import People
    from prefect_gatehouse.identity.person import identifier
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.manifest.fields import DataClass
    from prefect_gatehouse.operate.registry import Registrar

    path, registry = settings.identity_key(), People(settings.people_folder())
    wanted = identifier(person) if person is not None else None
    if path.exists() and not path.with_name(path.name + ".pub").exists():
        advice = f"run: ssh-keygen -y -f {shlex.quote(str(path))} > {shlex.quote(f'{path}.pub')}"
        raise InputError("your key has no .pub beside it", where=str(path), advice=advice)
    line = public_line(path) if path.exists() else None
    owner = registry.owner_of(fingerprint(line)) if line is not None else None
    if owner is not None and wanted not in (None, owner.person):
        raise InputError(f"your key is {owner.person}'s", where="--person", advice="leave --person out, or set GATEHOUSE_IDENTITY to another key")
    name = owner.person if owner is not None else wanted or default_person()
    # A second key for somebody who is there is for the registry's keeper to add: that person may be an approver.
    if owner is None and registry.get(name) is not None:
        add = f"gatehouse people add {shlex.quote(name)} --role requester --key {shlex.quote(f'{path}.pub')}"
        advice = "give another --person" + (f", or have your key added: {add}" if line is not None else "")
        raise InputError(f"{name} is in the registry with another key", where="--person", advice=advice)
    if line is None:
        settings.folder("")
        line = generate_key(path, name)
    found: dict[str, object] = {"person": name, "key": str(path), "fingerprint": fingerprint(line), "registered": True}
    if owner is None:
        try:
            with open_ledger(settings) as ledger:
                registrar = Registrar(settings, ledger, "gatehouse init")
                registrar.add(name, key=line, roles=frozenset({"requester"}), clearance=DataClass(_CLEARANCE))
        except (StorageError, Denied):  # a registry that somebody else keeps
            found["registered"] = False
    return found


def default_person() -> str:
    """``USER@HOST`` in the characters that an identifier may have."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user in the system's database
        user = f"uid-{os.getuid()}"
    return re.sub(r"[^a-z0-9._@+-]+", "-", f"{user}@{socket.gethostname()}".lower())[:120].strip("-._@+")
