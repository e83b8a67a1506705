"""Everything that can be said about a manifest without running it: its text, its fields, and the files it names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from prefect_gatehouse.errors import GatehouseError, InputError
from prefect_gatehouse.manifest.load import read
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.manifest.problems import Problem
from prefect_gatehouse.manifest.yaml_tree import parse
from prefect_gatehouse.providers.registry import backend_names
from prefect_gatehouse.workload.load import inside


def check_manifest(path: Path) -> list[Problem]:
    """Every problem of a manifest and of the files it names, in order of lines; empty means that it is good."""
    manifest, problems = read(path)
    if manifest is None:
        return problems
    tree = parse(path.read_text(encoding="utf-8"))
    found = []
    for loc, message, advice in _about_files(manifest, path.parent):
        field, (line, column) = tree.locate(loc)
        found.append(Problem(str(path), line, column, field, message, advice))
    return sorted(found, key=lambda item: (item.line, item.column))


_Finding = tuple[tuple[str | int, ...], str, str]


def _about_files(manifest: Manifest, folder: Path) -> Iterator[_Finding]:
    for index, backend in enumerate(manifest.execution.backends):
        if backend not in backend_names():
            yield ("execution", "backends", index), "there is no such backend", f"installed are {', '.join(backend_names())}"
    yield from _entrypoint(manifest, folder)
    for loc, name in ((("data", "suite"), manifest.data.suite), (("output", "suite"), manifest.output.suite)):
        yield from _suite(loc, name, folder)
    yield from _source(manifest, folder)


def _file(loc: tuple[str | int, ...], name: str, folder: Path) -> tuple[Path | None, _Finding | None]:
    try:
        path = inside(folder, name, ".".join(str(part) for part in loc))
    except InputError as error:
        return None, (loc, error.message, error.advice)
    if not path.is_file():
        return None, (loc, "there is no such file", "correct the path; it is relative to the manifest")
    return path, None


def _suite(loc: tuple[str | int, ...], name: str, folder: Path) -> Iterator[_Finding]:
    from prefect_gatehouse.validation.suite import load_suite

    path, problem = _file(loc, name, folder)
    if problem is not None or path is None:
        if problem is not None:
            yield problem
        return
    try:
        load_suite(path)
    except GatehouseError as error:
        yield loc, error.message, error.advice


def _entrypoint(manifest: Manifest, folder: Path) -> Iterator[_Finding]:
    loc = ("workload", "entrypoint")
    place, _, name = manifest.workload.entrypoint.partition(":")
    if not place.endswith(".py"):
        return  # a module is found where the flow runs, which need not be here
    path, problem = _file(loc, place, folder)
    if problem is not None or path is None:
        if problem is not None:
            yield problem
        return
    try:
        module = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        yield loc, "the file is no valid Python", "correct the file"
        return
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == name]
    if not functions:
        yield loc, "the file defines no such function", "correct the name after the colon"
    elif not any(isinstance(node, ast.Yield | ast.YieldFrom) for node in ast.walk(functions[0])):
        yield loc, "the function never yields, so it asks for no circuits", "yield a list of circuits for each round"


def _source(manifest: Manifest, folder: Path) -> Iterator[_Finding]:
    from prefect_gatehouse.data.source import open_source

    path, problem = _file(("data", "source"), manifest.data.source, folder)
    if problem is not None or path is None:
        if problem is not None:
            yield problem
        return
    try:
        with open_source(path) as source:
            present = set(source.names)
    except GatehouseError as error:
        yield ("data", "source"), error.message, error.advice
        return
    for name in manifest.data.columns:
        if name not in present:
            yield ("data", "columns", name), "the source has no such column", "correct the name"
