"""`gatehouse provider`: conformance as people and programs read it; drift shown, recorded, approved; a forged approval does not verify."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.money.tills import treasurer

from prefect_gatehouse.blocks import devices, reader
from prefect_gatehouse.cli.main import main
from prefect_gatehouse.ledger.acts import ProviderApproved
from prefect_gatehouse.ledger.by_hand import ActRefused
from prefect_gatehouse.ledger.jobs import ProviderDrifted
from prefect_gatehouse.ledger.opening import open_ledger
from prefect_gatehouse.providers.simulator.aer import AerBackend
from prefect_gatehouse.secrets.lease import SecretText
from prefect_gatehouse.settings import Settings
from prefect_gatehouse.testing import BraketEmulator

NAME = "braket/garnet-eu"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty installation whose caller is an approver."""
    monkeypatch.setenv("GATEHOUSE_HOME", str(tmp_path / "home"))
    made = Settings(home=tmp_path / "home")
    made.folder("")
    treasurer(made)
    return made


@pytest.fixture
def machine(settings: Settings, braket: BraketEmulator, monkeypatch: pytest.MonkeyPatch) -> BraketEmulator:
    """The emulator's machine in its block, and the key in another; a Prefect server would only hand them out."""
    bucket = f"provider-{uuid.uuid4()}"
    braket.create_bucket(bucket)
    monkeypatch.setattr(devices, "read_settings", {"braket-device/garnet-eu": braket.settings(bucket)}.__getitem__)
    monkeypatch.setattr(reader, "read_secret", lambda block: SecretText({"secret/aws": braket.credential}[block]))
    return braket


def provider(*words: str) -> Result:
    return CliRunner().invoke(main, ["provider", *words], prog_name="gatehouse")


def check(*words: str) -> Result:
    return provider("check", NAME, "--credential", "secret/aws", *words)


def test_a_backend_that_conforms(settings: Settings) -> None:
    """A row for each check with what it shows, a line that sums up, exit code 0; JSON for programs."""
    told = provider("conformance", "aer", "--check", "bit-order", "--check", "same-key")
    assert told.exit_code == 0, told.output
    assert [line.split()[:2] for line in told.output.splitlines() if " s " in line] == [["bit-order", "ok"], ["same-key", "ok"]]
    assert told.output.endswith("aer: 2 of 2 checks passed\n")
    data = json.loads(provider("conformance", "aer", "--check", "many-circuits", "--circuits", "20", "--json").output)
    assert (data["passed"], data["spent_usd"], data["left"], [each["check"] for each in data["checks"]]) == (True, "0", [], ["many-circuits"])


def test_a_backend_that_does_not(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check fails with one line why, the others are still run, and the command ends with 1."""
    right = AerBackend.result

    def turned(self: AerBackend, *args: Any, **more: Any) -> Any:
        found = right(self, *args, **more)
        return replace(found, counts=tuple({key[::-1]: value for key, value in each.items()} for each in found.counts))

    monkeypatch.setattr(AerBackend, "result", turned)
    told = provider("conformance", "aer", "--check", "facts", "--check", "bit-order")
    assert told.exit_code == 1 and "the one right result is 01, the counts have 10" in " ".join(told.output.split())
    assert "aer: 1 of 2 checks passed" in told.output


@pytest.mark.parametrize(
    ("words", "where", "advice"),
    [
        (("nowhere/device",), "execution.backends", "installed are"),
        (("no-simulator",), "NAME", "name one as a manifest does"),
        (("aer", "--check", "bit-odour"), "--check", "bit-order"),
        (("aer", "--most-usd", "plenty"), "--most-usd", "dollars"),
    ],
)
def test_what_can_not_be_asked(settings: Settings, words: tuple[str, ...], where: str, advice: str) -> None:
    """One error that names what is wrong; exit code 2."""
    told = provider("conformance", *words, "--json")
    assert told.exit_code == 2, told.output
    assert json.loads(told.output)["where"] == where and advice in json.loads(told.output)["advice"]


def test_a_device_that_costs_money(machine: BraketEmulator) -> None:
    """Nothing is sent unless somebody says how much it may cost; then the suite spends no more, and leaves nothing there."""
    words = ("conformance", NAME, "--credential", "secret/aws", "--check", "bit-order")
    told = provider(*words)
    assert told.exit_code == 2 and "may cost 1.7500 USD" in told.output and machine.tasks() == []
    data = json.loads(provider(*words, "--most-usd", "10", "--json").output)
    assert data["spent_usd"] == "2.3500" and data["left"] == [] and len(machine.tasks()) == 3
    assert data["passed"] is True


def test_nobody_approved_it_yet(machine: BraketEmulator, settings: Settings) -> None:
    """Shown as it is, with what to type; exit code 1. A name is needed, and a simulator here is no provider's."""
    told = check()
    assert told.exit_code == 1 and "nobody approved it; gatehouse provider check braket/garnet-eu --approve" in " ".join(told.output.split())
    for words, advice in (((), "name backends"), (("aer",), "name other backends")):
        told = provider("check", *words, "--json")
        assert told.exit_code == 2 and advice in json.loads(told.output)["advice"]
    assert check("--approve").exit_code == 2
    with open_ledger(settings) as ledger:
        assert ledger.size() == 0


def test_approved_changed_and_approved_again(machine: BraketEmulator, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Signed with who and why; then gates, limits and price change: item by item what was and what is, recorded once, until it is approved."""
    told = check("--approve", "--reason", "Onboarding, CHG-9")
    assert told.exit_code == 0 and "approved by tess [1]: Onboarding, CHG-9" in told.output
    told = provider("check", "--credential", "secret/aws")
    assert told.exit_code == 0 and "as it was approved; tess" in told.output
    program = {"supportedOperations": ["h", "cz", "prx", "new"], "actionType": "braket.ir.openqasm.program", "version": ["1"]}
    machine.device(capabilities={"action": {"braket.ir.openqasm.program": program}})
    prices = tmp_path / "prices.yaml"
    prices.write_text(settings.prices.read_text().replace('per_shot: "0.00145"', 'per_shot: "0.00245"'))
    monkeypatch.setenv("GATEHOUSE_PRICES", str(prices))
    data = json.loads(check("--json").output)
    drift = {each["item"]: (each["approved"], each["found"]) for each in data["providers"][0]["drift"]}
    assert drift["price: per_shot"] == ("0.00145", "0.00245")
    assert "new" in drift["gates"][1] and "ccnot" in drift["gates"][0] and "h" not in drift["gates"][0]
    assert "service model" not in drift and "qubits" not in drift and "version" in drift
    told = check()
    assert told.exit_code == 1 and "is not as it was approved" in told.output
    with open_ledger(settings) as ledger:
        (event,) = ledger.facts(ProviderDrifted)
        assert {each.item for each in event.fact.items} == drift.keys()
    assert check("--approve", "--reason", "New price, CHG-10").exit_code == 0
    assert check().exit_code == 0
    assert CliRunner().invoke(main, ["verify"]).exit_code == 0
    with open_ledger(settings) as ledger:
        newest = ledger.facts(ProviderApproved)[-1].fact
        with ledger.transaction() as tx:
            tx.append("provider-approved:forged", "ledger", newest.model_copy(update={"items": {"gates": []}}))
    told = CliRunner().invoke(main, ["verify"])
    assert (told.exit_code, "the provider's approval is not signed, or not what was signed" in told.output) == (7, True)


def test_who_may_not_approve(machine: BraketEmulator, settings: Settings) -> None:
    """A key that is nobody's who may approve: denied, and nothing but that is recorded."""
    (settings.people_folder() / "allowed_signers").write_text("")
    told = check("--approve", "--reason", "mine")
    assert (told.exit_code, "a provider is approved by somebody who may approve" in told.output) == (3, True)
    with open_ledger(settings) as ledger:
        (refused,) = ledger.facts(ActRefused)
        assert (ledger.size(), refused.fact.action, refused.fact.reasons) == (1, "approve_provider", ("not-an-approver",))
