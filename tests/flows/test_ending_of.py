"""When the sweeper calls a run over: all that the ledger can say, against every decided ending and all that Prefect can claim."""

from __future__ import annotations

from itertools import product

import pytest

from prefect_gatehouse.flows.clean_up import ending_of
from prefect_gatehouse.ledger.projection import SILENT_SECONDS, RunRow

NOW, WINDOW = 1_800_000_000.0, 3600.0
CLAIMS = ("", "cancelled", "deleted")
DECIDED = (None, "completed", "rejected")


def row(status: str, *, silent: float = 0.0, wait_until: float | None = None, ending: str | None = None) -> RunRow:
    """A run whose process gave its last sign of life some seconds ago."""
    facts = dict.fromkeys(("pipeline", "tenant", "environment", "tier", "ticket", "requester", "message"), "")
    last = NOW - silent
    return RunRow("r", 3, status, ending, started=last, updated=last, wait_until=wait_until, last_sign=last, **facts)


@pytest.mark.parametrize(("claim", "decided"), list(product(CLAIMS, DECIDED)))
def test_what_lives_goes_on(claim: str, decided: str | None) -> None:
    """A run whose heart beats is over for nobody, whatever was decided and whatever Prefect says."""
    assert ending_of(row("running", silent=SILENT_SECONDS), decided, claim, WINDOW, NOW) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(("status", "claim"), list(product(("running", "waiting", "queued", "suspended", "scheduled", "failed"), CLAIMS)))
def test_a_decided_ending_is_the_ending(status: str, claim: str) -> None:
    """Where no process lives, what a process had decided comes before a claim and before any time."""
    dead = row(status, silent=SILENT_SECONDS + 1, wait_until=NOW + 60)
    assert (ending_of(dead, "rejected", claim, WINDOW, NOW) or ("",))[0] == "rejected"  # type: ignore[arg-type]


@pytest.mark.parametrize(("status", "claim"), list(product(("running", "waiting", "queued", "suspended", "scheduled", "failed"), CLAIMS[1:])))
def test_cancelled_or_deleted_where_nobody_drives(status: str, claim: str) -> None:
    """It is ended at once, with the reason."""
    dead = row(status, silent=SILENT_SECONDS + 1, wait_until=NOW + 60)
    assert ending_of(dead, None, claim, WINDOW, NOW) == ("cancelled", f"{claim} in Prefect")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "ending"),
    [("waiting", "expired"), ("queued", "expired"), ("suspended", "abandoned"), ("scheduled", "abandoned"), ("failed", "abandoned")],
)
def test_its_time_in_the_ledger(status: str, ending: str) -> None:
    """Not a second before it, and then whatever Prefect has."""
    assert ending_of(row(status, silent=9e6, wait_until=NOW + 1), None, "", WINDOW, NOW) is None
    assert (ending_of(row(status, silent=9e6, wait_until=NOW), None, "", WINDOW, NOW) or ("",))[0] == ending


@pytest.mark.parametrize("status", ["waiting", "queued", "suspended", "scheduled", "failed"])
def test_what_somebody_has_kept_is_given_up_later(status: str) -> None:
    """A run that could be resumed is abandoned when that is over, too; one that waits for people or a queue expires at its own time, as before."""
    past = row(status, silent=9e6, wait_until=NOW - 60)
    expires = status in {"waiting", "queued"}
    assert (ending_of(past, None, "", WINDOW, NOW, lambda until: until + 61) is None) is not expires
    assert ending_of(past, None, "", WINDOW, NOW, lambda until: until + 60) is not None
    assert ending_of(past, None, "cancelled", WINDOW, NOW, lambda until: until + 61) is not None


def test_a_dead_process_has_its_window_from_its_last_sign() -> None:
    """The time that the run can be resumed begins with the last sign of life, not with the last change."""
    assert ending_of(row("running", silent=WINDOW - 1), None, "", WINDOW, NOW) is None
    assert (ending_of(row("running", silent=WINDOW), None, "", WINDOW, NOW) or ("",))[0] == "abandoned"


def test_a_window_shorter_than_the_silence() -> None:
    """A tier with a window of a minute abandons nobody whose heart may still beat."""
    assert ending_of(row("running", silent=SILENT_SECONDS - 1), None, "", 60, NOW) is None
    assert ending_of(row("running", silent=SILENT_SECONDS + 1), None, "", 60, NOW) is not None
