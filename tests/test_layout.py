"""The tree is what design and contracts say: links that resolve, imports that point one way, nothing of anybody's machine."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import prefect_gatehouse

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "prefect_gatehouse"
LINKED = ("flows", "tasks", "blocks", "deployments", "examples")
# On top of the library, in the order of the layers.
ABOVE = {"cli", "operate", "worker", "flows", "tasks", "blocks", "examples", "deployments", "templates"}

MACHINE = re.compile(r"(?<![\w.~-])/(?:home|work|root|Users)/[\w.-]+")
REGISTRY = re.compile(r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|goproxy\.\w|proxy\.golang|crates\.io|deb\.debian|conda\.anaconda|/simple/\b")


def contract() -> dict[str, list[str]]:
    """The contract that keeps Prefect out of the library."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (found,) = [item for item in settings["tool"]["importlinter"]["contracts"] if item["type"] == "forbidden"]
    return {"source": found["source_modules"], "forbidden": found["forbidden_modules"]}


def committed() -> list[str]:
    """Every file that is committed, or would be with ``git add .``."""
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    return sorted(name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file() and not (ROOT / name).is_symlink())


@pytest.mark.parametrize("name", LINKED)
def test_the_links_resolve(name: str) -> None:
    """The real files stand at the top; a relative link gives them the package's name, on every clone."""
    link = PACKAGE / name
    assert link.is_symlink()
    assert link.readlink() == Path("..", "..", name)
    assert link.resolve() == ROOT / name
    assert any(link.iterdir())


@pytest.mark.parametrize("name", LINKED)
def test_the_links_are_committed_as_links(name: str) -> None:
    """Git has them as links (mode 120000), not as copies that would drift."""
    listed = subprocess.run(["git", "ls-files", "-s", f"src/prefect_gatehouse/{name}"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert listed.stdout.startswith("120000 "), listed.stdout


@pytest.mark.parametrize("name", ["flows", "tasks", "blocks"])
def test_one_import_name(name: str) -> None:
    """A module is imported through the package only: there is no top-level `tasks` beside `prefect_gatehouse.tasks`."""
    module = importlib.import_module(f"prefect_gatehouse.{name}")
    assert module.__name__ == f"prefect_gatehouse.{name}"
    pattern = re.compile(rf"^\s*(?:from|import) {name}\b", re.MULTILINE)
    assert [path for path in committed() if path.endswith(".py") and pattern.search((ROOT / path).read_text())] == []


def test_every_module_of_the_library_is_under_the_contract() -> None:
    """A module that nobody entered would be free to import Prefect."""
    modules = {item.name for item in pkgutil.iter_modules([str(PACKAGE)])}
    assert {name.removeprefix("prefect_gatehouse.") for name in contract()["source"]} == modules - ABOVE
    assert {"prefect", "prefect_aws"} <= set(contract()["forbidden"])


def test_the_contracts_are_kept() -> None:
    """import-linter agrees, without its cache."""
    done = subprocess.run([str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_every_gate_is_under_the_contract() -> None:
    """A gate that stood among the helpers could be borrowed from: the upper floor of ``tasks`` is exactly the modules that make a gate."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (found,) = [item for item in settings["tool"]["importlinter"]["contracts"] if item.get("containers") == ["prefect_gatehouse.tasks"]]
    makers = {path.stem: re.findall(r"^@gate\(.*\)\ndef (\w+)", path.read_text(), re.MULTILINE) for path in (ROOT / "tasks").glob("*.py")}
    assert {name for name, made in makers.items() if made} == {name.strip() for name in found["layers"][0].split("|")}
    assert {name: made for name, made in makers.items() if made not in ([], [name])} == {}  # one gate a module, named after it


def test_what_a_run_loads_is_compared_with_its_plan() -> None:
    """Gates and flows load workload, suites, policy and people through ``run/parts.py`` only, which compares them; before a plan admission loads."""
    loaders = re.compile(r"\b(?:find_workload|load_workload|load_suite|load_policy|policy_now|policy_that_counts|People)\b")
    found = {
        path.relative_to(PACKAGE).as_posix()
        for folder in ("run", "tasks", "flows")
        for path in (PACKAGE / folder).glob("*.py")
        if any(loaders.search(line) for line in re.findall(r"^ *from [\w.]+ import .*", path.read_text(), re.MULTILINE))
    }
    # A registry that was loaded and compared is handed to these.
    handed_on = {"run/answer.py", "run/approvals.py", "run/attempt.py", "run/expected.py", "run/registry.py"}
    # Who released, granted, promoted, classified, reviewed or approved, and which service fetches, has to be in the registry now, and the policy of
    # now lets them.
    of_now = {"run/bundle.py", "run/holding.py", "run/reviewed.py", "run/services.py", "run/result_question.py"}
    assert found == {"run/parts.py", "run/apart.py"} | handed_on | of_now


def test_a_backend_s_block_is_read_by_what_compares_it_only() -> None:
    """Gates and flows hand the reader of settings on; ``run/parts.py`` alone asks it."""
    asks = re.compile(r"read_settings\(")
    found = {
        path.relative_to(PACKAGE).as_posix()
        for folder in ("run", "tasks", "flows")
        for path in (PACKAGE / folder).glob("*.py")
        if asks.search(path.read_text())
    }
    assert found == {"run/parts.py"}


def test_the_library_imports_without_prefect() -> None:
    """Every module of the library loads in a process that never loads Prefect, nor a quantum SDK, nor Great Expectations."""
    code = (
        "import importlib, pkgutil, sys\n"
        "for name in sys.argv[1:]:\n"
        "    module = importlib.import_module(name)\n"
        "    for item in pkgutil.walk_packages(getattr(module, '__path__', []), name + '.'):\n"
        "        if not item.name.endswith('gx_import'):\n"
        "            importlib.import_module(item.name)\n"
        "found = {'prefect', 'prefect_aws', 'braket', 'qiskit_aer', 'qiskit_ibm_runtime', 'great_expectations', 'hvac'} & set(sys.modules)\n"
        "assert not found, found\n"
        "print(len([name for name in sys.modules if name.startswith('prefect_gatehouse.')]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *contract()["source"]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


def test_test_files_have_names_of_their_own() -> None:
    """Two test files of one name would be one module to some tools; ``conftest.py`` is pytest's own name for a folder's fixtures."""
    given = {"__init__.py", "conftest.py"}
    names = [Path(path).name for path in committed() if path.startswith("tests/") and path.endswith(".py") and Path(path).name not in given]
    assert sorted(names) == sorted(set(names))


def test_nothing_of_a_machine() -> None:
    """No committed text names somebody's folders or the address of a package registry."""
    found = []
    for name in committed():
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE.search(line) or REGISTRY.search(line):
                found.append(f"{name}:{number}: {line[:100]}")
    assert found == []


@pytest.mark.parametrize(
    "line", ["see /{}/ada/x".format("home"), "'/{}/main'".format("work"), "https://{}.org/".format("pypi"), "x/{}/y".format("simple")]
)
def test_the_search_finds_what_it_should(line: str) -> None:
    """The patterns above do match; these lines are put together here so that this file does not."""
    assert MACHINE.search(line) or REGISTRY.search(line)


def test_the_version_is_one() -> None:
    """Package and metadata name the same version."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert prefect_gatehouse.__version__ == settings["project"]["version"]


def test_entry_points_exist() -> None:
    """Entry points name modules that exist."""
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    targets = [points["scripts"]["gatehouse"]]
    for group in points["entry-points"].values():
        targets += group.values()
    for target in targets:
        module, _, name = target.partition(":")
        loaded = importlib.import_module(module)
        assert not name or hasattr(loaded, name), target


def test_the_schema_in_docs_is_the_manifest_s() -> None:
    """`make docs` has been run since the manifest changed."""
    import json

    from prefect_gatehouse.manifest.schema import json_schema

    assert json.loads((ROOT / "docs" / "manifest.schema.json").read_text()) == json_schema()


def test_the_drawing_of_the_packages_is_what_the_imports_are() -> None:
    """`make docs` has been run since a package came to import another."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("draw_packages", ROOT / "docs" / "draw_packages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "images" / "packages.svg").read_text() == module.drawing()
    assert {name for row in module.floors() for name in row} == {name for pair in module.imports() for name in pair} - {"examples"}


def test_every_local_link_in_the_documents_leads_somewhere() -> None:
    """Links and pictures of README and docs, and every test file that the threat model names."""
    for document in [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        text = document.read_text()
        links = [link for link in re.findall(r'\]\(([^)#]+)\)|src="([^"]+)"', text) for link in link if link]
        for link in links:
            assert re.match(r"[a-z]+:", link) or (document.parent / link).exists(), f"{document.name}: {link}"
        for name in re.findall(r"`(tests/[\w/.]+)`", text):
            assert (ROOT / name).exists(), f"{document.name}: {name}"


def test_every_decision_is_listed() -> None:
    """The list of decisions is the folder's content."""
    folder = ROOT / "docs" / "adr"
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text())
    assert listed == sorted(path.name for path in folder.glob("[0-9]*.md"))
