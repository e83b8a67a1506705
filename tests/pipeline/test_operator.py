"""An operator at a real browser, a real worker and a real server: reads the plan, answers the form, and the run goes on."""

from __future__ import annotations

import base64
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.services import unavailable
from tests.support.leaks import leaks
from tests.support.pipeline import APPROVER, OTHER, REQUESTER, ROWS, Pipeline

from prefect_gatehouse.identity.totp import STEP_SECONDS, code_at
from prefect_gatehouse.operate import runs as control

pytestmark = pytest.mark.timeout(400)


@pytest.fixture
def pipeline(tmp_path: Path, stack: Any, prefect_home: Path, worker: None) -> Iterator[Pipeline]:
    """A pipeline that the worker runs, so in the worker's home; its people are its own."""
    home = prefect_home / "gatehouse-home"
    shutil.rmtree(home / "people", ignore_errors=True)
    with Pipeline(tmp_path / "p", None, control.DEPLOYMENT, home=home) as made:
        yield made


class Operator:
    """Somebody at the Prefect UI, in headless Chromium.

    Lives in a thread of its own: playwright runs an event loop in the thread that uses it, where Prefect's calls would wait for it.
    """

    def __init__(self, chromium: str, url: str) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._url = url
        self._thread.submit(self._open, chromium).result()

    def _open(self, chromium: str) -> None:
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        self._page = self._browser.new_page(viewport={"width": 1280, "height": 1600})
        self._page.set_default_timeout(60_000)

    def close(self) -> None:
        """Closes the browser."""

        def quit_() -> None:
            self._browser.close()
            self._playwright.stop()

        self._thread.submit(quit_).result()
        self._thread.shutdown()

    def open_form(self, run_id: str) -> str:
        """Opens a run's page and its form; returns what the form says."""

        def act() -> str:
            self._page.goto(f"{self._url}/v2/runs/flow-run/{run_id}")
            self._page.get_by_role("button", name="Open menu").first.click()
            self._page.get_by_role("menuitem", name="Resume").click()
            dialog = self._page.get_by_role("dialog")
            dialog.get_by_label("Reason").first.wait_for()
            dialog.get_by_text("How to answer").wait_for()  # the page fetches the plan after the fields
            return str(dialog.inner_text())

        return self._thread.submit(act).result()

    def answer(self, decision: str, *, approver: str = "", proof: str = "", reason: str = "", picture: str = "") -> None:
        """Fills the form in, presses the button, and waits until the form is gone."""
        from playwright.sync_api import TimeoutError  # noqa: A004 - the library's own

        def act() -> None:
            dialog = self._page.get_by_role("dialog")
            dialog.get_by_role("button", name="Select Decision").first.click()
            self._page.get_by_role("option", name=decision).click()
            for label, text in (("Approver", approver), ("Proof", proof), ("Reason", reason)):
                if text:
                    dialog.get_by_label(label).first.fill(text)
            if picture:
                self._picture(picture)
            # A busy server on SQLite refuses now and then; the page says so and keeps the form, and one presses again.
            for last in (False, False, False, True):
                dialog.get_by_role("button", name="Resume").click()
                try:
                    dialog.wait_for(state="hidden", timeout=60_000 if last else 15_000)
                except TimeoutError:
                    if last:
                        raise
                else:
                    return

        self._thread.submit(act).result()

    def read(self, run_id: str, text: str, picture: str = "") -> None:
        """Waits until a run's page says something."""

        def act() -> None:
            self._page.goto(f"{self._url}/v2/runs/flow-run/{run_id}")
            self._page.get_by_text(re.compile(text)).first.wait_for()
            if picture:
                self._picture(picture)

        self._thread.submit(act).result()

    def _picture(self, name: str) -> None:
        folder = os.environ.get("GATEHOUSE_TEST_SCREENSHOTS")  # set where somebody wants to look
        if folder:
            self._page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


@pytest.fixture(scope="module")
def operator(stack: Any) -> Iterator[Operator]:
    """An operator with a browser."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        unavailable("no chromium")
    person = Operator(chromium, stack.url)
    yield person
    person.close()


def wait(pipeline: Pipeline, run_id: str, met: Callable[[], bool], seconds: float = 120) -> None:
    """Until something is so in the ledger."""
    until = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < until, (pipeline.ledger.run(run_id), pipeline.state(run_id))
        time.sleep(0.2)


def suspended(pipeline: Pipeline) -> str:
    """Starts a run and waits until it asks."""
    run_id = pipeline.start()
    wait(pipeline, run_id, lambda: bool(pipeline.ledger.run(run_id) and pipeline.ledger.run(run_id).status == "waiting"))
    pipeline.wait_paused(run_id)
    return run_id


def fresh_code(pipeline: Pipeline, who: str) -> str:
    """The code that the authenticator shows, with some seconds left to type it."""
    left = STEP_SECONDS - time.time() % STEP_SECONDS
    if left < 5:
        time.sleep(left + 0.1)
    return code_at(base64.b32decode(pipeline.people.totp_secret(who) or ""), int(time.time()) // STEP_SECONDS)


def test_an_operator_reads_the_plan_and_approves(pipeline: Pipeline, operator: Operator, prefect_home: Path) -> None:
    """The form tells what leaves and on whose ticket; a wrong code is refused with the reason and asked again; a right one goes on."""
    run_id = suspended(pipeline)
    shown = operator.open_form(run_id)
    expected = [REQUESTER, "CHG-7", "Prove the pipeline", "subject", "restricted", "siv", "aer", "results", f"{ROWS} rows", "k = "]
    assert [words for words in [*expected, pipeline.standing_plan(run_id).digest] if words not in shown] == []
    operator.answer("approve", approver=APPROVER, proof="000000", picture="approval-form")
    wait(pipeline, run_id, lambda: bool(pipeline.standing(run_id).refusals))
    assert pipeline.standing(run_id).approvals == ()
    wait(pipeline, run_id, lambda: pipeline.ledger.run(run_id).status == "waiting")
    pipeline.wait_paused(run_id)
    assert pipeline.standing(run_id).refusals[-1] in operator.open_form(run_id)
    operator.answer("approve", approver=APPROVER, proof=fresh_code(pipeline, APPROVER), picture="asked-again")
    wait(pipeline, run_id, lambda: pipeline.ledger.run(run_id).status in {"ended", "failed"})
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.state(run_id)
    operator.read(run_id, "Completed", picture="completed")
    assert len(pipeline.rows()) == ROWS
    assert leaks(pipeline.canaries[:40], prefect_home) == []


def test_an_operator_rejects(pipeline: Pipeline, operator: Operator) -> None:
    """A rejection in the form ends the run with its reason; nothing was submitted, nothing is left."""
    run_id = suspended(pipeline)
    operator.open_form(run_id)
    operator.answer("reject", approver=OTHER, proof=fresh_code(pipeline, OTHER), reason="the ticket is closed")
    wait(pipeline, run_id, lambda: pipeline.ledger.run(run_id).status in {"ended", "failed"})
    assert pipeline.ledger.run(run_id).ending == "rejected"
    operator.read(run_id, "Rejected")
    assert pipeline.ledger.events(run_id, "job-submitted") == []
    assert (pipeline.rows(), pipeline.left_behind()) == ([], [])


def test_a_run_outlives_its_worker_and_server(pipeline: Pipeline, stack: Any) -> None:
    """Worker and server are stopped while the run waits and started again: the same form, the same plan, and the run completes."""
    run_id = suspended(pipeline)
    digest = pipeline.standing_plan(run_id).digest
    stack.stop()
    stack.start_server()
    stack.wait()
    stack.start_worker()
    pipeline.answer(run_id)
    wait(pipeline, run_id, lambda: pipeline.ledger.run(run_id).status in {"ended", "failed"})
    assert pipeline.ledger.run(run_id).ending == "completed", pipeline.state(run_id)
    assert pipeline.standing_plan(run_id).digest == digest
    assert len(pipeline.rows()) == ROWS
