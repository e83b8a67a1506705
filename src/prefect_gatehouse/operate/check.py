"""Everything that can be said about a manifest without running it: its text, its fields, and the files it names."""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from prefect_gatehouse.errors import GatehouseError, InputError
from prefect_gatehouse.files import inside
from prefect_gatehouse.manifest.csv_form import CsvForm
from prefect_gatehouse.manifest.declared_endpoint import dialect_of, is_endpoint
from prefect_gatehouse.manifest.endpoints import driver_problem
from prefect_gatehouse.manifest.load import survey
from prefect_gatehouse.manifest.models import Manifest
from prefect_gatehouse.manifest.problems import Problem
from prefect_gatehouse.manifest.yaml_tree import Tree
from prefect_gatehouse.providers.registry import backend_names, is_installed


def check_manifest(path: Path) -> list[Problem]:
    """Every problem of a manifest and of the files it names, in order of lines; empty means that it is good."""
    tree, manifest, problems = survey(path)
    if tree is None:
        return problems
    # Also where fields are wrong: the files that the others name are looked at all the same.
    findings = (*_about_files(tree, path.parent), *_about_drivers(tree), *(_about_rules(manifest) if manifest is not None else ()))
    for loc, message, advice in findings:
        field, (line, column) = tree.locate(loc)
        problems.append(Problem(str(path), line, column, field, message, advice))
    return sorted(problems, key=lambda item: (item.line, item.column))


def require_good(path: Path) -> None:
    """Stops where ``check_manifest`` finds anything, and tells all of it.

    Raises:
        InputError: There is a problem; of several, each has a line of the advice.
    """
    problems = check_manifest(path)
    if len(problems) == 1:
        raise InputError(problems[0].message, where=problems[0].place(), advice=problems[0].advice or "correct the manifest")
    if problems:
        lines = (f"{problem.place()}: {problem.message}" + (f" ({problem.advice})" if problem.advice else "") for problem in problems)
        raise InputError(f"{len(problems)} problems", where=str(path), advice="\n".join(lines))


_LONGEST_NAME = 128  # as in a manifest
_Finding = tuple[tuple[str | int, ...], str, str]


def _about_rules(manifest: Manifest) -> Iterator[_Finding]:
    yield from _about_classes(manifest)
    yield from _about_the_tier(manifest)


def _about_the_tier(manifest: Manifest) -> Iterator[_Finding]:
    """What the installation's tier demands of every manifest."""
    from prefect_gatehouse.policy.tiers import contradicts, falls_back, load_tiers, reuses
    from prefect_gatehouse.settings import load_settings

    tier = load_tiers(load_settings().tiers)[manifest.tier]
    if falls_back(manifest, tier):
        yield ("execution", "backends"), f"the tier {manifest.tier} forbids a fallback", "name one backend"
    if reuses(manifest, tier):
        yield ("execution", "reuse"), f"the tier {manifest.tier} forbids earlier results", "leave it out"
    if contradicts(manifest, tier):
        yield ("execution", "rehearsal"), f"the tier {manifest.tier} demands a rehearsal", "write required, or leave it out"


def _about_classes(manifest: Manifest) -> Iterator[_Finding]:
    """What the policy would say when the run asks, told before anybody asks."""
    from prefect_gatehouse.policy.classes import in_words, output_class, target_of

    found, because = output_class(manifest)
    target = target_of(manifest)
    if found.rank > target.highest_class.rank:
        yield (
            ("output", "target", "system"),
            f"the output is {in_words(found, because)}, the system takes {target.highest_class} at most",
            "raise the system's highest_class, if that is so, or leave out the columns",
        )


def _about_drivers(tree: Tree) -> Iterator[_Finding]:
    """Whether each database that is named could be opened: otherwise the write-back would be the first to know."""
    systems = tree.at("systems")
    for index, system in enumerate(systems if isinstance(systems, list) else []):
        endpoint = system.get("endpoint") if isinstance(system, dict) else None
        if isinstance(endpoint, str) and is_endpoint(endpoint):
            problem = driver_problem(dialect_of(endpoint))
            if problem is not None:
                yield ("systems", index, "endpoint"), *problem


_Look = Callable[[tuple[str, ...], str, Path], Iterator[_Finding]]


def _about_files(tree: Tree, folder: Path) -> Iterator[_Finding]:
    backends = tree.at("execution", "backends")
    for index, backend in enumerate(backends if isinstance(backends, list) else []):
        if isinstance(backend, str) and not is_installed(backend):
            yield ("execution", "backends", index), "there is no such backend", f"installed are {', '.join(backend_names())}"
    columns = tree.at("data", "columns")
    columns = columns if isinstance(columns, dict) else {}
    looks: dict[tuple[str, ...], _Look] = {
        ("workload", "entrypoint"): _entrypoint,
        ("data", "suite"): partial(_suite, _leaving(columns), "does not leave the source"),
        ("output", "suite"): partial(_suite, _coming_back(tree), "is neither output.key nor one of output.columns"),
        ("data", "source"): partial(_source, columns, _csv_form(tree)),
        ("data", "source", "sql"): _query,
    }
    for loc, look in looks.items():
        name = tree.at(*loc)
        if isinstance(name, str):
            yield from look(loc, name, folder)


def _file(loc: tuple[str, ...], name: str, folder: Path) -> tuple[Path | None, list[_Finding]]:
    try:
        path = inside(folder, name, ".".join(loc))
        if path.is_file():
            return path, []
    except InputError as error:
        return None, [(loc, error.message, error.advice)]
    except OSError as error:
        return None, [(loc, f"the file can't be looked at: {error.strerror}", "correct the path")]
    return None, [(loc, "there is no such file", "correct the path; it is relative to the manifest")]


def _leaving(columns: Mapping[str, object]) -> list[str]:
    return [name for name, rule in columns.items() if not isinstance(rule, dict) or rule.get("rule") != "drop"]


def _coming_back(tree: Tree) -> list[str]:
    key, columns = tree.at("output", "key"), tree.at("output", "columns")
    return [name for name in (key, *(columns if isinstance(columns, list | dict) else ())) if isinstance(name, str)]


def _suite(present: Sequence[str], otherwise: str, loc: tuple[str, ...], name: str, folder: Path) -> Iterator[_Finding]:
    from prefect_gatehouse.validation.suite import absent_columns, load_suite

    path, problems = _file(loc, name, folder)
    yield from problems
    if path is None:
        return
    try:
        suite = load_suite(path)
    except GatehouseError as error:
        yield loc, f"{error.where}: {error.message}", error.advice
        return
    for place, column in absent_columns(suite, present):
        shown = f"'{column}'" if column.isprintable() and len(column) <= _LONGEST_NAME else "a column"
        yield loc, f"{suite.name}: expectations[{place}] is about {shown}, which {otherwise}", "correct the suite or the manifest"


def _entrypoint(loc: tuple[str, ...], entrypoint: str, folder: Path) -> Iterator[_Finding]:
    place, _, name = entrypoint.partition(":")
    if not place.endswith(".py"):
        return  # a module is found where the flow runs, which need not be here
    path, problems = _file(loc, place, folder)
    yield from problems
    if path is None:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the workload's style, not about the manifest
            module = ast.parse(path.read_bytes())
    except OSError as error:
        yield loc, f"the file can't be read: {error.strerror}", "check its permissions"
        return
    except SyntaxError as error:  # the compiler's words; the line itself is not repeated
        yield loc, f"the file is no valid Python: {place}:{error.lineno or 1}: {error.msg}", "correct the line"
        return
    except (ValueError, RecursionError, MemoryError):
        yield loc, "the file is no valid Python", "correct the file"
        return
    functions = [node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == name]
    if not functions:
        yield loc, "the file defines no such function", "correct the name after the colon"
    elif not _yields(functions[-1].body):
        yield loc, "the function never yields, so it asks for no circuits", "yield a list of circuits for each round"


def _yields(nodes: Iterable[ast.AST]) -> bool:
    """Whether a function's own code yields; what is defined inside it does not count."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(node)
    return False


def _source(columns: Mapping[str, object], form: CsvForm | None, loc: tuple[str, ...], name: str, folder: Path) -> Iterator[_Finding]:
    from prefect_gatehouse.data.sources import open_source
    from prefect_gatehouse.data.sources.files import files_place
    from prefect_gatehouse.data.sources.patterns import is_pattern

    if form is None:
        return  # told already; read in another form the file would seem to be wrong as well
    if not is_pattern(name):
        path, problems = _file(loc, name, folder)
        yield from problems
        if path is None:
            return
    try:
        # Of files that a pattern matches, all headers are compared.
        with open_source(files_place(folder, name, form)) as source:
            present = Counter(source.names)
    except GatehouseError as error:
        place = f"{error.where}: " if is_pattern(name) and error.where != ".".join(loc) else ""
        yield loc, place + error.message, error.advice
        return
    for column, rule in columns.items():
        if column not in present:
            yield ("data", "columns", column), "the source has no such column", "correct the name"
        elif present[column] > 1:
            yield ("data", "columns", column), "the source has more than one column of this name", "rename one of them"
        subject = rule.get("subject") if isinstance(rule, dict) and rule.get("rule") == "shift_dates" else None
        if isinstance(subject, str) and present[subject] != 1:
            yield ("data", "columns", column, "subject"), "the source has not exactly one column of this name", "correct the name"


def _csv_form(tree: Tree) -> CsvForm | None:
    """How the manifest says that CSV files are written; None where it says it wrongly."""
    try:
        return CsvForm.model_validate(tree.at("data", "csv") or {})
    except ValidationError:
        return None


def _query(loc: tuple[str, ...], query: str, _: Path) -> Iterator[_Finding]:
    from prefect_gatehouse.data.sources.query import select_statement

    try:
        select_statement(query)
    except InputError as error:
        yield loc, error.message, error.advice
