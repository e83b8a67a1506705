"""The wheel: what is in it, and that plain pip can install it into an empty environment and run it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from prefect_gatehouse import __version__

ROOT = Path(__file__).resolve().parents[1]


def _source(folder: Path) -> Path:
    """A copy of what is committed, links as links: building writes beside its source, and nothing ignored gets in."""
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.split("\0"):
        if name and os.path.lexists(ROOT / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built outside the tree."""
    folder = _source(tmp_path_factory.mktemp("source"))
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=out)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """Every path in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_its_name(wheel: Path) -> None:
    """Pure Python, of this version."""
    assert wheel.name == f"prefect_gatehouse-{__version__}-py3-none-any.whl"


def test_one_top_level_package(names: set[str]) -> None:
    """No module called `tasks` or `flows`, and no test, lands in anybody's site-packages."""
    assert {name.partition("/")[0] for name in names} == {"prefect_gatehouse", f"prefect_gatehouse-{__version__}.dist-info"}


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "flows/governed_pipeline.py",
        "tasks/gate.py",
        "blocks/vault.py",
        "deployments/prefect.yaml",
        "deployments/tiers.yaml",
        "deployments/policies/gatehouse.cedar",
        "deployments/policies/gatehouse.cedarschema",
        "examples/tumour_kernel/gatehouse.yaml",
        "examples/tumour_kernel/suites/input.json",
        "examples/grid_partition/branches.csv",
        "templates/pipeline/gatehouse.yaml.in",
        "templates/pipeline/dot-gitignore.in",
        "templates/pipeline/dot-github/workflows/gatehouse.yml.in",
    ],
)
def test_what_is_inside(names: set[str], name: str) -> None:
    """Linked folders, policies, examples and templates are in the package."""
    assert f"prefect_gatehouse/{name}" in names


def test_nothing_is_missing(names: set[str]) -> None:
    """Every committed file of the package, through the links too, is in the wheel; a link that was not followed would lose a folder."""
    listed = subprocess.run(["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True)
    linked = ("flows/", "tasks/", "blocks/", "deployments/", "examples/")
    wanted = set()
    for path in listed.stdout.split("\0"):
        if not (ROOT / path).is_file() or (ROOT / path).is_symlink() or Path(path).name == ".gitignore":
            continue
        if path.startswith("src/prefect_gatehouse/"):
            wanted.add(path.removeprefix("src/"))
        elif path.startswith(linked):
            wanted.add(f"prefect_gatehouse/{path}")
    assert wanted - names == set()


def test_nothing_too_much(names: set[str]) -> None:
    """No cache, no database, no key and no data that an example makes."""
    assert [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".sqlite", ".pem", "source.csv", "id_ed25519"))] == []


@pytest.mark.timeout(900)
def test_plain_pip_installs_it_and_it_runs(wheel: Path, tmp_path: Path) -> None:
    """An empty environment, pip's own resolution and no lock: the command works, an installed example is good, Prefect finds the blocks."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV", "GATEHOUSE_", "PREFECT_", "PYTEST"))}
    clean |= {"HOME": str(tmp_path), "GATEHOUSE_HOME": str(tmp_path / "home"), "PREFECT_HOME": str(tmp_path / "prefect"), "DO_NOT_TRACK": "1"}

    def run(*words: str | Path) -> str:
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, cwd=tmp_path, env=clean)
        assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    # The pip that comes with Python may be years old, and takes four times as long to the same end: `make wheel` proves that one, too.
    newest = [] if os.environ.get("GATEHOUSE_TEST_BUNDLED_PIP") else ["--upgrade-deps"]
    run(sys.executable, "-m", "venv", *newest, tmp_path / "env")
    python, gatehouse = tmp_path / "env" / "bin" / "python", tmp_path / "env" / "bin" / "gatehouse"
    started = time.monotonic()
    run(python, "-m", "pip", "install", "--no-input", "--no-compile", "--quiet", wheel)
    print(f"{run(python, '-m', 'pip', '--version').split(' from')[0]} install: {time.monotonic() - started:.0f} s")
    run(python, "-m", "pip", "check")

    assert "clean-up" in run(gatehouse, "--help")
    assert run(gatehouse, "--version") == f"gatehouse {__version__}\n"
    package = Path(run(python, "-c", "import prefect_gatehouse, pathlib; print(pathlib.Path(prefect_gatehouse.__file__).parent)").strip())
    assert package.is_relative_to(tmp_path)
    example = tmp_path / "example"
    shutil.copytree(package / "examples" / "grid_partition", example)
    assert run(gatehouse, "check", example / "gatehouse.yaml") == f"{example / 'gatehouse.yaml'}: good\n"
    tumour = json.loads(
        subprocess.run(
            [gatehouse, "check", "--json", package / "examples" / "tumour_kernel" / "gatehouse.yaml"],
            capture_output=True,
            text=True,
            check=False,
            env=clean,
        ).stdout
    )
    # Its data is made by its source.py, so on an installed example that is the only thing to say.
    assert [item["field"] for item in tumour["problems"]] in ([], ["data.source"])
    made = json.loads(run(gatehouse, "init", tmp_path / "new", "--json"))
    assert run(gatehouse, "check", tmp_path / "new" / "gatehouse.yaml").endswith(": good\n")
    assert made["name"] == "new"
    code = (
        "from importlib.metadata import entry_points\n"
        "import prefect\n"
        "(point,) = entry_points(group='prefect.collections', name='prefect_gatehouse')\n"
        "print(prefect.__version__, point.load().VaultSecret.get_block_type_slug())\n"
    )
    version, slug = run(python, "-c", code).split()
    print(f"prefect {version}")
    assert slug == "vault-secret"
    assert "governed-pipeline" in run(python, "-c", "from prefect_gatehouse.flows.governed_pipeline import governed_pipeline as f; print(f.name)")
