"""Acts that are refused at the command line, and looks at what came of a run: what is recorded of them, what is not, and who can see it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text
from tests.support.bundles import as_, sign_bundle
from tests.support.gates import Desk
from tests.support.plans import RUN
from tests.tasks.test_bundle import House

from prefect_gatehouse.cli.main import main
from prefect_gatehouse.errors import Denied, StorageError
from prefect_gatehouse.flows.ending import end
from prefect_gatehouse.flows.rounds import run_rounds
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.identity.people import People
from prefect_gatehouse.identity.services import Service
from prefect_gatehouse.ledger.acts import SignedAct
from prefect_gatehouse.ledger.by_hand import ActRefused, ResultRead
from prefect_gatehouse.ledger.seal import seal_home
from prefect_gatehouse.ledger.store import LEDGER, Event, Ledger
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.run import refused_acts
from prefect_gatehouse.run.reader import RunReader
from prefect_gatehouse.store.run_keys import RunKeys

CANARY = "Patient-4711 is why"
"""A reason is free text, and whoever is refused may write anything there."""
READERS = '@id("own")\n@reason("{what} by auditors alone")\nforbid (principal, action == Gatehouse::Action::"read_result", resource)\n'
AUDITORS_ALONE = READERS + 'unless { principal.roles.contains("auditor") };\n'


class Bench:
    """An installation with one run that has its counts; Tess approves, Olga owns data, Aud audits, Ann only asks: `be` says who calls."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.desk = Desk(folder, backends="aer")
        self.desk.manifest.write_text(self.desk.manifest.read_text() + "reproduce: {keep: 1h, circuits: 2}\n")
        self.settings, self.ledger = self.desk.settings, self.desk.ledger
        for name in ("HOME", "TIERS", "CELL"):
            monkeypatch.setenv(f"GATEHOUSE_{name}", str(getattr(self.settings, name.lower())))
        people = People(self.settings.people_folder())
        for person, role in (("tess", "approver"), ("olga", "data-owner"), ("aud", "auditor"), ("ann", "requester")):
            people.add(person, key=generate_key(folder / person, ""), roles=frozenset({role}), clearance=DataClass.RESTRICTED)  # type: ignore[arg-type]
        people.add("bot", key=generate_key(folder / "bot", ""), roles=frozenset({"requester"}), service=Service(tenants=("test-tenant",)))
        generate_key(folder / "stranger", "")
        self.be("ann")

    def be(self, who: str) -> None:
        self.monkeypatch.setenv("GATEHOUSE_IDENTITY", str(self.folder / who))

    def run(self, *words: str) -> Result:
        result = CliRunner().invoke(main, list(words), prog_name="gatehouse", env={"COLUMNS": "300"})
        assert "Traceback" not in result.output
        return result

    def told(self, *words: str) -> Any:
        result = self.run(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.output)

    def refused(self) -> list[Event[ActRefused]]:
        return self.ledger.facts(ActRefused)

    def limit_readers(self) -> None:
        """A policy of the administrator's own: what came of a run is opened by auditors alone."""
        from tests.support.bundles import own_files

        policies = own_files(self.settings, self.folder / "home").policies
        (policies / "own.cedar").write_text(AUDITORS_ALONE)
        self.monkeypatch.setenv("GATEHOUSE_POLICIES", str(policies))
        self.settings = self.settings.model_copy(update={"policies": policies})

    def with_counts(self) -> None:
        run_rounds(self.desk.attempt, self.desk.approved())

    def verified(self) -> None:
        seal_home(self.settings.folder(""), self.ledger)
        result = self.run("verify")
        assert result.exit_code == 0, result.output


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path, monkeypatch)
    with closing(made.ledger):
        yield made


def unwritable(ledger: Ledger) -> None:
    """A database that takes no event more, as a full disk or a read-only standby does."""
    with ledger.transaction() as tx:
        tx.connection.execute(text("CREATE TRIGGER no_more BEFORE INSERT ON gatehouse_events BEGIN SELECT RAISE(ABORT, 'disk full'); END"))


DAY = f"{datetime.now(UTC) + timedelta(days=7):%Y-%m-%d}"
MANIFEST = "project/gatehouse.yaml"
EXCEPTION = ("--tenant", "clinic", "--owner", "olga", "--ticket", "CHG-9", "--risk", CANARY, "--control", CANARY, "--until", DAY)
COMMANDS: dict[str, tuple[tuple[str, ...], str, str, tuple[str, ...], dict[str, str]]] = {
    "quarantine": (("quarantine", "backend:aer"), "quarantine", "ann", ("not-an-approver",), {"scope": "backend", "name": "aer"}),
    "budget": (("budget", "set", "--tenant", "clinic", "--month-usd", "5"), "set_budget", "ann", ("not-an-approver",), {"tenant": "clinic"}),
    "exception": (
        ("exceptions", "grant", "backend-not-in-tier", *EXCEPTION),
        "grant_exception",
        "ann",
        ("not-an-approver",),
        {"rule": "backend-not-in-tier", "tenant": "clinic"},
    ),
    "a rule without exceptions": (
        ("exceptions", "grant", "environment-mismatch", *EXCEPTION),
        "grant_exception",
        "tess",
        ("not-exceptable",),
        {"rule": "environment-mismatch", "tenant": "clinic"},
    ),
    "classes": (("classes", "sign", MANIFEST), "classify", "tess", ("not-a-data-owner",), {"tenant": "test-tenant"}),
    "promotion": (("promote", MANIFEST), "promote", "tess", ("evidence-missing",), {"pipeline": "small", "tenant": "test-tenant"}),
    "a service": (("quarantine", "tenant:clinic"), "quarantine", "bot", ("service-key",), {"scope": "tenant", "name": "clinic"}),
    "a stranger": (("quarantine", "tenant:clinic"), "quarantine", "stranger", ("not-an-approver",), {"scope": "tenant", "name": "clinic"}),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_refused_command_is_in_the_ledger_once(name: str, bench: Bench) -> None:
    """Who, what, about what and by which rule, in the stream of no run; again in the same hour is the same; nothing that was typed as a sentence."""
    words, action, who, reasons, about = COMMANDS[name]
    bench.desk.change("tier: prototype", "tier: integration" if action == "promote" else "tier: prototype")
    words = tuple(str(bench.folder / word) if word == MANIFEST else word for word in words)
    if action == "promote":
        seal_home(bench.settings.folder(""), first_event(bench.ledger))
    bench.be(who)
    for _ in range(3):
        result = bench.run(*words, "--reason", CANARY)
        assert result.exit_code == Denied.exit_code and "recorded" not in result.output, result.output
    (event,) = bench.refused()
    fact = event.fact
    assert (event.run_id, fact.action, fact.reasons, fact.environment, fact.more) == (LEDGER, action, reasons, "local", False)
    assert fact.person == ("unverified" if who == "stranger" else who) and fact.fingerprint.startswith("SHA256:")
    assert about.items() <= fact.about.items() and set(fact.about) <= {*about, "source"}
    assert fact.tier == ("integration" if action == "promote" else "")
    assert bool(fact.policy_digest) is (reasons[0].startswith("not-a"))
    assert CANARY not in json.dumps(fact.data()) and bench.ledger.facts(SignedAct) == []
    bench.verified()
    (listed,) = bench.told("explain", "--acts")["refused"]
    assert (listed["event"], listed["person"], listed["run"]) == (event.seq, fact.person, "")
    shown = bench.run("explain", "--acts").output
    assert f"[{reasons[0]}]" in shown and fact.person in shown and action in shown
    bench.monkeypatch.setenv("GATEHOUSE_POLICIES", str(bench.folder))  # where there are none
    assert f"[{reasons[0]}]" in bench.run("explain", "--acts").output


def first_event(ledger: Ledger) -> Ledger:
    """A ledger in which something is there to be sealed: nothing is promoted on an empty one."""
    from prefect_gatehouse.ledger.events import PackagesInstalled

    with ledger.transaction() as tx:
        tx.append("first", LEDGER, PackagesInstalled(packages="0" * 64, versions=()))
    return ledger


def test_other_refusals_are_others(bench: Bench) -> None:
    """Another person, another thing, another reason: an event each. A slip of the pen, a name that is none, is no refused act."""
    for who in ("ann", "olga"):
        bench.be(who)
        for backend in ("aer", "braket-local"):
            assert bench.run("quarantine", f"backend:{backend}", "--reason", "x").exit_code == Denied.exit_code
    assert [(each.fact.person, each.fact.about["name"]) for each in bench.refused()] == [
        (who, backend) for who in ("ann", "olga") for backend in ("aer", "braket-local")
    ]
    for words in (
        ("quarantine", "team:a"),
        ("exceptions", "grant", "no-such-rule", *EXCEPTION),
        ("budget", "set", "--tenant", "A B", "--month-usd", "5"),
    ):
        assert bench.run(*words, "--reason", "x").exit_code == 2
    assert len(bench.refused()) == 4


def test_nobody_fills_the_ledger(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one person's many refusals in an hour so many are told, then one that says that there were more; somebody else's are told, too."""
    monkeypatch.setattr(refused_acts, "_MOST", 3)
    for number in range(8):
        assert bench.run("quarantine", f"tenant:t{number}", "--reason", "x").exit_code == Denied.exit_code
    bench.be("olga")
    assert bench.run("quarantine", "tenant:t0", "--reason", "x").exit_code == Denied.exit_code
    told = [(each.fact.person, each.fact.about.get("name", ""), each.fact.more) for each in bench.refused()]
    assert told == [("ann", "t0", False), ("ann", "t1", False), ("ann", "t2", False), ("ann", "", True), ("olga", "t0", False)]
    assert "whatever else in this hour" in bench.run("explain", "--acts").output
    bench.verified()


def test_a_ledger_that_takes_nothing(bench: Bench) -> None:
    """The refusal stands as it is, with its rule and its exit code, and says that it could not be recorded."""
    unwritable(bench.ledger)
    result = bench.run("quarantine", "backend:aer", "--reason", "x", "--json")
    told = json.loads(result.output)
    assert result.exit_code == Denied.exit_code and told["error"] == "denied" and told["where"] == "policy: quarantine"
    assert "[not-an-approver]; that this was refused could not be recorded: the ledger can't be used: " in told["message"]
    assert bench.refused() == []


def test_who_changes_the_registry_beside_the_bundle(bench: Bench) -> None:
    """What the signed bundle does not take in, and a second first bundle, are refused acts of whoever's key lies there."""
    sign_bundle(bench.settings, bench.ledger)
    assert bench.run("people", "add", "mallory", "--role", "approver", "--totp").exit_code == Denied.exit_code
    assert bench.run("policy", "accept", "--reason", CANARY).exit_code == Denied.exit_code
    people, accept = bench.refused()
    assert (people.fact.person, people.fact.action, people.fact.act) == ("ann", "change_people", "add-person")
    assert (people.fact.about, people.fact.reasons) == ({"whom": "mallory"}, ("no-signer",))
    assert (accept.fact.action, accept.fact.about, accept.fact.reasons) == ("accept_policy", {"version": "1"}, ("bundle-stands",))
    assert People(bench.settings.people_folder()).get("mallory") is None
    bench.verified()


def test_who_may_not_look_and_who_did(bench: Bench) -> None:
    """In the run's own events, each once: the refusal with its rule, the look with the rules that let it; show, who and explain tell both."""
    bench.with_counts()
    bench.limit_readers()
    for words in (("show", RUN), ("show", RUN), ("reproduce", RUN), ("reproduce", RUN)):
        assert "auditors alone" in bench.run(*words, "--json").output
    assert [(each.run_id, each.fact.person, each.fact.act, each.fact.reasons) for each in bench.refused()] == [
        (RUN, "ann", "show", ("own",)),
        (RUN, "ann", "reproduce", ("own",)),
    ]
    assert bench.ledger.facts(ResultRead) == []
    before = bench.ledger.run(RUN)
    bench.be("aud")
    for words in (("show", RUN), ("show", RUN), ("reproduce", RUN), ("reproduce", RUN)):
        bench.run(*words)
    looks = bench.ledger.facts(ResultRead, RUN)
    assert [(each.fact.person, each.fact.act, each.fact.permitted_by) for each in looks] == [
        ("aud", "show", ("act-permitted",)),
        ("aud", "reproduce", ("act-permitted",)),
    ]
    assert all(each.fact.fingerprint.startswith("SHA256:") and each.fact.policy_digest for each in looks)
    shown, told = bench.run("show", RUN).output, bench.told("show", RUN)
    assert f"looked: aud (show), {looks[0].at[:16].replace('T', ' ')} UTC [{looks[0].seq}]" in shown
    assert "refused: ann, read_result (reproduce), " in shown and ": own [" in shown
    assert [len(told["looks"]), len(told["acts_refused"])] == [2, 2]
    (job, *_) = bench.told("who", RUN)
    assert ([each["person"] for each in job["looks"]], [each["person"] for each in job["acts_refused"]]) == (["aud"] * 2, ["ann"] * 2)
    whose = bench.run("who", RUN).output
    assert "Looked" in whose and "Refused" in whose
    assert len(bench.told("explain", RUN, "--acts")["refused"]) == 2
    after = bench.ledger.run(RUN)
    assert before is not None and after is not None and after.status == before.status and after.attempt == before.attempt
    end(bench.desk.attempt, "completed")
    bench.run("reproduce", RUN)
    bench.verified()


def test_nothing_opened_is_no_look(bench: Bench) -> None:
    """Of a run that has no counts yet, and of one that has ended and whose key is gone, nothing is opened: neither a look nor a refusal."""
    bench.desk.planned()
    bench.run("show", RUN)
    assert bench.ledger.facts(ResultRead) == []
    bench.with_counts()
    end(bench.desk.attempt, "completed")
    assert "the run's key is gone" in str(bench.told("show", RUN)["rounds"])
    bench.limit_readers()
    bench.told("show", RUN)
    assert bench.ledger.facts(ResultRead) == [] and bench.refused() == []
    bench.be("aud")
    bench.run("reproduce", RUN)  # which has a key of its own, behind the run's end
    assert [each.fact.act for each in bench.ledger.facts(ResultRead, RUN)] == ["reproduce"]
    bench.verified()


def test_a_look_at_a_prototype_is_not_held_up(bench: Bench) -> None:
    """Its ledger may take nothing: what may be seen is."""
    bench.with_counts()
    unwritable(bench.ledger)
    assert "distinct outcome" in str(bench.told("show", RUN)["rounds"])
    assert bench.ledger.facts(ResultRead) == []


def test_a_look_that_can_t_be_recorded_is_none_above_the_prototype_tier(tmp_path: Path) -> None:
    """Nothing is opened, with one clear error; once the ledger takes it, it is."""
    house = House(tmp_path)
    with closing(house.ledger):
        run_id, settings = house.admit(), as_(house.settings, "ann")
        RunKeys(settings.folder("run-keys")).obtain(run_id)
        unwritable(house.ledger)
        with pytest.raises(StorageError, match="who looks at what came of the run can't be recorded, so nothing is opened: the ledger can't be used"):
            _ = RunReader(settings, house.ledger, run_id).sealer
        with house.ledger.transaction() as tx:
            tx.connection.execute(text("DROP TRIGGER no_more"))
        for _ in range(2):
            assert RunReader(settings, house.ledger, run_id).sealer.open is not None
        (event,) = house.ledger.facts(ResultRead)
        assert (event.run_id, event.fact.person, event.fact.act) == (run_id, "ann", "show")


def test_a_run_that_stays_no_longer(bench: Bench) -> None:
    """An extension that somebody may not sign is refused in the run's events; one that is too long by the class of the data as well."""
    bench.with_counts()
    end(bench.desk.attempt, "completed")
    words = ("retention", "extend", RUN, "--ticket", "CHG-9", "--only", "circuits", "--reason", CANARY)
    today = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    assert bench.run(*words, "--until", today).exit_code == Denied.exit_code
    bench.be("olga")
    assert bench.run(*words, "--until", "2099-01-01").exit_code == Denied.exit_code
    found = [(each.run_id, each.fact.person, each.fact.reasons, each.fact.about, each.fact.tier) for each in bench.refused()]
    about = {"run": RUN, "pipeline": "small", "tenant": "test-tenant"}
    assert found == [(RUN, "ann", ("not-a-data-owner",), about, "prototype"), (RUN, "olga", ("beyond-the-class",), about, "prototype")]
    bench.verified()


def test_what_is_listed_is_no_question(bench: Bench) -> None:
    """Nothing was refused yet; and what asks does not list."""
    assert bench.run("explain", "--acts").output == "no act was refused\n"
    wrong = bench.run("explain", "--acts", "--as", "ann", "--action", "promote")
    assert wrong.exit_code == 2 and "asks nothing" in wrong.output
