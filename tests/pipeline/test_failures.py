"""Operational failures: one clear message, nothing lost, and a run that goes on when the cause is mended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.pipeline.test_endings import in_its_rounds
from tests.support.leaks import leaks
from tests.support.pipeline import ROWS, WORKLOAD

from prefect_gatehouse.operate import runs as control


def resumable(pipeline: Any, run_id: str, *words: str) -> None:
    """Failed with one line that says what, where and what to do; no traceback anywhere."""
    state = pipeline.state(run_id)
    assert state.name == "Resumable", state
    assert "\n" not in state.message.strip()
    for word in (*words, f"gatehouse resume {run_id}"):
        assert word in state.message
    assert "Traceback" not in pipeline.log.read_text()


def finishes(pipeline: Any, run_id: str) -> None:
    """The cause is mended: the run goes on and ends well."""
    control.resume(pipeline.ledger, run_id)
    pipeline.process(run_id)
    if pipeline.state(run_id).is_paused():
        pipeline.answer(run_id)
        pipeline.process(run_id)
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.state(run_id)
    assert len(pipeline.rows()) == ROWS
    assert pipeline.left_behind() == []


@pytest.fixture
def small_disk(make_pipeline: Any, tmp_path: Path) -> Iterator[Any]:
    """A pipeline whose ``GATEHOUSE_HOME`` is a file system of its own, of 4 MiB."""
    home = tmp_path / "p" / "home"
    home.mkdir(parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(home)], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk is not permitted here")  # no service that could be installed
    try:
        yield make_pipeline()
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


def fill(home: Path, leave: int) -> Path:
    """Fills the disk up to some bytes."""
    ballast = home / "ballast"
    free = os.statvfs(home).f_bavail * os.statvfs(home).f_frsize
    ballast.write_bytes(b"\0" * max(0, free - leave))
    return ballast


@pytest.mark.parametrize("leave", [0, 40_000], ids=["full", "full-soon"])
def test_a_full_disk_before_the_first_gate(small_disk: Any, leave: int) -> None:
    """No room in GATEHOUSE_HOME, at once or after some events: the message says so, and the run goes on when there is."""
    run_id = small_disk.start()
    ballast = fill(small_disk.home, leave)
    small_disk.process(run_id)
    resumable(small_disk, run_id, "disk", "full")
    ballast.unlink()
    finishes(small_disk, run_id)


def test_a_full_disk_after_the_approval(small_disk: Any) -> None:
    """Full between approval and submission: the approval is not lost, and nothing was submitted twice."""
    run_id = small_disk.start()
    small_disk.approved(run_id)
    ballast = fill(small_disk.home, 0)
    small_disk.process(run_id)
    resumable(small_disk, run_id, "disk", "full")
    ballast.unlink()
    finishes(small_disk, run_id)
    assert len(small_disk.ledger.events(run_id, "job-submitted")) == 2


def test_a_read_only_home(small_disk: Any) -> None:
    """A home that became read-only: one message; writable again, the run goes on."""
    run_id = small_disk.start()
    small_disk.approved(run_id)
    small_disk.ledger.close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk.home)], check=True)
    try:
        small_disk.process(run_id)
        resumable(small_disk, run_id, "read-only")
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk.home)], check=True)
    finishes(small_disk, run_id)


def test_a_missing_suite(pipeline: Any) -> None:
    """The message names the file; put back, the run goes on."""
    suite = pipeline.zone / "suites" / "input.json"
    text = suite.read_text()
    run_id = pipeline.start()
    suite.unlink()
    pipeline.process(run_id)
    resumable(pipeline, run_id, "suites/input.json")
    suite.write_text(text)
    finishes(pipeline, run_id)


def test_a_missing_source(pipeline: Any) -> None:
    """The message names the source; put back, the run goes on."""
    source = pipeline.zone / "source.csv"
    data = source.read_bytes()
    run_id = pipeline.start()
    source.unlink()
    pipeline.process(run_id)
    resumable(pipeline, run_id, "source.csv")
    source.write_bytes(data)
    finishes(pipeline, run_id)


def raises(make_pipeline: Any, prefect_home: Path, mark: str, error: str, words: str) -> tuple[Any, str]:
    """A run whose workload raises, before its first round, an error that holds a mark: it can be resumed, and the mark is nowhere."""
    made = error.format(f'"".join({list(mark)})')  # the source of the workload is read as well, and must not hold the mark
    pipeline = make_pipeline(workload=WORKLOAD.replace("total = 0\n", f"raise {made}\n    total = 0\n"))
    run_id = pipeline.start()
    pipeline.process(run_id)
    resumable(pipeline, run_id, words, "workload.py:10")
    assert leaks([mark], prefect_home, pipeline.home, pipeline.log) == []
    return pipeline, run_id


def test_a_workload_that_raises(make_pipeline: Any, prefect_home: Path) -> None:
    """Its exception's text, which may hold data, is withheld; place and type are told; mended before the plan, the run goes on."""
    pipeline, run_id = raises(make_pipeline, prefect_home, "boom-value-7c41d0", "ValueError({})", "ValueError")
    (pipeline.zone / "workload.py").write_text(WORKLOAD)
    finishes(pipeline, run_id)


def test_a_workload_that_raises_after_its_jobs(make_pipeline: Any, prefect_home: Path) -> None:
    """The rehearsal finds it before anybody is asked: not a job was made, the error holds no value, and mended the run goes on."""
    mark = "boom-value-5b20e8"
    text = WORKLOAD.replace("    return", f'    raise ValueError("".join({list(mark)}))\n    return')
    pipeline = make_pipeline(workload=text)
    run_id = pipeline.start()
    pipeline.process(run_id)
    resumable(pipeline, run_id, "ValueError", "workload.py:", "in the rehearsal, after the counts of round 2")
    assert not pipeline.ledger.events(run_id, "job-submitted") and not pipeline.ledger.events(run_id, "approval-asked")
    (pipeline.zone / "workload.py").write_text(WORKLOAD)
    finishes(pipeline, run_id)
    assert pipeline.standing_plan(run_id).rehearsal.rows == ROWS
    assert len(pipeline.ledger.events(run_id, "job-submitted")) == 2
    # Last: SQLite loses its locks on a file that this process opens and closes beside it.
    assert leaks([mark], prefect_home, pipeline.home, pipeline.log) == []


def test_a_workload_that_raises_in_a_later_round(make_pipeline: Any) -> None:
    """After the approval the code can't be mended without a new approval, but a cause outside it can: the round replays."""
    text = WORKLOAD.replace("        total += ", "        open(parameters['file']).close()\n        total += ")
    # Without a cell: in one there is no outside.
    pipeline = make_pipeline(workload=text, rehearsal="skip", environment={"GATEHOUSE_CELL": "none"})
    manifest = pipeline.manifest.read_text()
    wanted = pipeline.zone.parent / "outside"  # what lies beside the workload is part of it
    pipeline.manifest.write_text(manifest.replace("parameters: {", f'parameters: {{file: "{wanted}", '))
    run_id = pipeline.start()
    pipeline.approved(run_id)
    pipeline.process(run_id)
    resumable(pipeline, run_id, "FileNotFoundError")
    wanted.touch()
    finishes(pipeline, run_id)
    assert len(pipeline.ledger.events(run_id, "job-submitted")) == 2


def test_a_workload_that_raises_a_class_named_after_data(make_pipeline: Any, prefect_home: Path) -> None:
    """Neither Prefect's database nor the ledger has its name, nor a log; the nearest class of Python's own is told."""
    raises(make_pipeline, prefect_home, "boom-class-3e9b52", "type({}, (BaseException,), {{}})", "raised BaseException")


def test_a_workload_that_answers_with_nothing(make_pipeline: Any) -> None:
    """Its code is bound by the approval and it would give nothing again: the run ends as denied, and is cleaned up.

    It also goes on when it is told to end after its first round, at the plan: nobody hears of that.
    """
    stubborn = WORKLOAD.replace(
        "        counts = yield circuits\n",
        "        try:\n            counts = yield circuits\n        except GeneratorExit:\n            yield circuits\n",
    )
    assert "GeneratorExit" in stubborn
    pipeline = make_pipeline(workload=stubborn[: stubborn.index("    return")] + "    return None\n", rehearsal="skip")
    run_id = pipeline.start()
    pipeline.approved(run_id)
    pipeline.process(run_id)
    row = pipeline.ledger.run(run_id)
    assert (row.status, row.ending) == ("ended", "denied")
    state = pipeline.state(run_id)
    assert state.name == "Denied"
    assert "the workload returned no pandas frame, but None" in state.message and "start a new run" in state.message
    assert (pipeline.left_behind(), pipeline.rows()) == ([], [])
    assert len(pipeline.ledger.events(run_id, "job-submitted")) == 2
    log = pipeline.log.read_text()
    assert "Traceback" not in log and "GeneratorExit" not in log


def test_a_process_that_orders_sets_at_random(pipeline: Any) -> None:
    """Started without a fixed PYTHONHASHSEED, by a deployment of somebody's own: the run stops before its first gate and says what to set."""
    run_id = pipeline.start()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    order = {"run": run_id, "log": str(pipeline.log), "env": {"GATEHOUSE_HOME": str(pipeline.home)}}
    # Prefect's own word for a process that set its state and leaves.
    script = (
        "import contextlib, json, sys\n"
        "from prefect.exceptions import Abort\n"
        "from tests.support.zygote import _child\n"
        "with contextlib.suppress(Abort):\n"
        "    _child(json.loads(sys.argv[1]))\n"
    )
    subprocess.run([sys.executable, "-c", script, json.dumps(order)], env=environment, cwd=Path(__file__).resolve().parents[2], check=True)
    resumable(pipeline, run_id, "PYTHONHASHSEED: this process orders sets at random", "deploy again")
    assert pipeline.ledger.event(f"{run_id}:admit") is None
    finishes(pipeline, run_id)


def test_a_block_that_is_missing(make_pipeline: Any) -> None:
    """A secret that can't be read: the block is named, and the run goes on when it is there."""
    from prefect.blocks.system import Secret

    pipeline = make_pipeline(blocks=("secret/nobody-made-this", None))
    run_id = pipeline.start()
    pipeline.process(run_id)
    resumable(pipeline, run_id, "nobody-made-this")
    Secret(value=pipeline.token_key).save("nobody-made-this")
    try:
        finishes(pipeline, run_id)
    finally:
        Secret.delete("nobody-made-this")


@pytest.mark.timeout(400)
def test_a_server_that_goes_away(make_pipeline: Any, stack: Any) -> None:
    """The Prefect server dies under a running process and comes back: what was done is not lost, and the run can be resumed."""
    # Prefect's client keeps trying for minutes, which would only make the test longer.
    pipeline, run_id, driver = in_its_rounds(make_pipeline, env={"PREFECT_CLIENT_MAX_RETRIES": "0"})
    stack.stop()
    driver.join(240)
    assert not driver.is_alive()
    stack.start_server()
    stack.wait()
    assert pipeline.ledger.run(run_id).status == "failed"
    assert "server" in pipeline.ledger.run(run_id).message
    finishes(pipeline, run_id)
    assert len(pipeline.ledger.events(run_id, "job-submitted")) == 2
