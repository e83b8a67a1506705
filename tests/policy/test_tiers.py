"""The file of tiers: what ships, and one clear error with file and field for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.fields import DataClass
from prefect_gatehouse.manifest.treatment import Treatment
from prefect_gatehouse.policy.tiers import effective_class, load_tiers
from prefect_gatehouse.settings import Settings

SHIPPED = Settings().tiers.read_text()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of tiers that ships, to be changed."""
    file = tmp_path / "tiers.yaml"
    file.write_text(SHIPPED)
    return file


def test_the_tiers_that_ship(path: Path) -> None:
    """Each tier demands at least what the one before it does; nobody but a prototype's requester may be unknown."""
    tiers = load_tiers(path)
    prototype, integration, business = (tiers[name] for name in ("prototype", "integration", "business"))
    assert prototype.approvers <= integration.approvers <= business.approvers == 2
    assert (prototype.weakest_method, integration.weakest_method, business.weakest_method) == ("totp", "ssh", "ssh-fido")
    assert (prototype.unverified_requests, integration.unverified_requests, business.unverified_requests) == (True, False, False)
    assert (integration.approval_window_seconds, business.approval_window_seconds) == (86_400, 3 * 86_400)
    assert all(tier.name == name for name, tier in tiers.items())
    assert (prototype.leaving_bits, integration.leaving_bits, business.leaving_bits) == (None, 25_000_000, 5_000_000)
    assert [tier.rehearsal for tier in tiers.values()] == ["optional", "required", "required"]
    assert [tier.unverified_class for tier in tiers.values()] == [DataClass.INTERNAL, DataClass.PUBLIC, DataClass.PUBLIC]


def test_a_file_that_says_nothing_of_fallbacks(path: Path) -> None:
    """It asks for the most, as with everything that it leaves out."""
    assert {tier.fallback for tier in load_tiers(path).values()} == {"allowed"}
    path.write_text(SHIPPED.replace("  fallback: allowed\n", ""))
    assert {tier.fallback for tier in load_tiers(path).values()} == {"forbidden"}


def test_where_code_and_image_come_from(path: Path) -> None:
    """The business tier wants what runs there read by two; the others ask for no git, and nobody for an image unless their file does."""
    tiers = load_tiers(path).values()
    assert [tier.reviewed_commit for tier in tiers] == ["optional", "optional", "required"]
    assert {(tier.signed_image, tier.image_scan_days) for tier in tiers} == {("optional", None)}
    path.write_text(SHIPPED.replace("  signed_image: optional\n", "  signed_image: required\n  image_scan_days: 30\n"))
    assert {(tier.signed_image, tier.image_scan_days) for tier in load_tiers(path).values()} == {("required", 30)}
    for days in ("0", "true", "1d"):
        path.write_text(SHIPPED.replace("  signed_image: optional\n", f"  image_scan_days: {days}\n"))
        with pytest.raises(InputError):
            load_tiers(path)


def test_who_says_that_a_ticket_is_in_order(path: Path) -> None:
    """A tier that does not say asks for a ticket system; only the prototype tier takes a ticket as it is typed."""
    assert [tier.ticket for tier in load_tiers(path).values()] == ["none", "file", "system"]
    path.write_text(SHIPPED.replace("  ticket: file\n", ""))
    assert load_tiers(path)["integration"].ticket == "system"
    path.write_text(SHIPPED.replace("ticket: file", "ticket: none"))
    with pytest.raises(InputError, match="only the prototype tier") as caught:
        load_tiers(path)
    assert caught.value.where == f"{path}: integration.ticket"


def test_what_ships_limits_little(path: Path) -> None:
    """A first user meets no limit but the business tier's cost, and of retention; what a file does not say is not limited."""
    tiers = load_tiers(path)
    assert {(tier.regions, tier.shots, tier.submit_hours, tier.approver_roles) for tier in tiers.values()} == {(None, None, None, None)}
    assert [tier.cost for tier in tiers.values()] == [None, None, 1000]
    assert [(tier.artifacts_at_most_seconds, tier.evidence_at_least_seconds) for tier in tiers.values()] == [
        (None, None),
        (3 * 86_400, 365 * 86_400),
        (3 * 86_400, 1825 * 86_400),
    ]
    assert tiers["business"].artifacts_at_most_seconds == max(tier.resume_window_seconds for tier in tiers.values())
    path.write_text(SHIPPED.replace("drift: tell", "regions: [eu-north-1, eu-de]\n  shots: 100000\n  cost: 0.5"))
    limited = load_tiers(path)["prototype"]
    assert (limited.regions, limited.shots, str(limited.cost)) == (("eu-north-1", "eu-de"), 100_000, "0.5")


def test_how_much_is_logged(path: Path) -> None:
    """The stricter the tier, the less is in Prefect's database; a file that does not say it has info."""
    assert [tier.logging for tier in load_tiers(path).values()] == ["debug", "info", "warning"]
    path.write_text(SHIPPED.replace("  logging: debug\n", "").replace("logging: warning", "logging: error"))
    assert [tier.logging for tier in load_tiers(path).values()] == ["info", "info", "error"]


# A line of the file, what stands there instead, and the field that the error names.
WRONG = [
    ("approvers: 2", "approvers: 0", "business.approvers"),
    ("approvers: 2", "approvers: -1", "business.approvers"),
    ("approvers: 2", "approvers: many", "business.approvers"),
    ("approvers: 2", "approvers: 2.5", "business.approvers"),
    ("approvers: 2", "approvers:", "business.approvers"),
    ("approvers: 2\n", "\n", "business.approvers"),
    ("weakest_method: ssh-fido", "weakest_method: none", "business.weakest_method"),
    ("weakest_method: ssh-fido\n", "\n", "business.weakest_method"),
    ("unverified_requests: true", "unverified_requests: perhaps", "prototype.unverified_requests"),
    ("unverified_requests: true\n", "\n", "prototype.unverified_requests"),
    ("highest_class: confidential", "highest_class: secret", "prototype.highest_class"),
    ("unverified_class: internal", "unverified_class: all", "prototype.unverified_class"),
    ("backends: [aer, braket-local]", "backends: []", "prototype.backends"),
    ("backends: [aer, braket-local]", "backends: aer", "prototype.backends"),
    ("backends: [aer, braket-local]", 'backends: ["a b"]', "prototype.backends.0"),
    ("backends: [aer, braket-local]", 'backends: ["braket/*"]', "prototype.backends.0"),
    ("approval_window: 3d", "approval_window: 3", "business.approval_window"),
    ("approval_window: 3d", "approval_window: 0d", "business.approval_window"),
    ("approval_window: 3d", "approval_window: -1d", "business.approval_window"),
    ("approval_window: 3d", "approval_window: 59s", "business.approval_window"),
    ("resume_window: 3d", "resume_window: 1s", "business.resume_window"),
    ("synthetic_only: false", "synthetic_only: perhaps", "prototype.synthetic_only"),
    ("synthetic_only: false\n", "\n", "prototype.synthetic_only"),
    ("leaving_bits: 5000000\n", "\n", "business.leaving_bits"),
    ("leaving_bits: 25000000\n", "\n", "integration.leaving_bits"),
    ("leaving_bits: 5000000", "leaving_bits: 0", "business.leaving_bits"),
    ("leaving_bits: 5000000", "leaving_bits: all", "business.leaving_bits"),
    ("rehearsal: optional", "rehearsal: never", "prototype.rehearsal"),
    ("drift: tell", "drift: perhaps", "prototype.drift"),
    ("drift: tell", 'submit_hours: {from: "08:00"}', "prototype.submit_hours.to"),
    ("drift: tell", 'submit_hours: {from: "08:00", to: "8:00"}', "prototype.submit_hours.to"),
    ("drift: tell", 'submit_hours: {from: "24:00", to: "08:00"}', "prototype.submit_hours.from"),
    ("drift: tell", 'submit_hours: {from: "08:00", to: "08:00"}', "prototype.submit_hours"),
    ("drift: tell", 'submit_hours: {from: "08:00", to: "18:00", zone: Berlin}', "prototype.submit_hours.zone"),
    ("drift: tell", 'submit_hours: {from: "08:00", to: "18:00", days: []}', "prototype.submit_hours.days"),
    ("drift: tell", 'submit_hours: {from: "08:00", to: "18:00", days: [monday]}', "prototype.submit_hours.days.0"),
    ("drift: tell", 'submit_hours: {from: "08:00", to: "18:00", days: [mon, mon]}', "prototype.submit_hours"),
    ("drift: tell", "approver_roles: []", "prototype.approver_roles"),
    ("drift: tell", "approver_roles: [owner]", "prototype.approver_roles.0"),
    ("logging: debug", "logging: verbose", "prototype.logging"),
    ("logging: debug", "logging: WARNING", "prototype.logging"),
    ("logging: debug", "logging: 30", "prototype.logging"),
    ("drift: tell", "artifacts_at_most: 0d", "prototype.artifacts_at_most"),
    ("drift: tell", "artifacts_at_most: 3", "prototype.artifacts_at_most"),
    ("drift: tell", "evidence_at_least: ever", "prototype.evidence_at_least"),
    ("drift: tell", "evidence_at_least: 1y", "prototype.evidence_at_least"),
    ("drift: tell", "shots: 0", "prototype.shots"),
    ("drift: tell", "shots: 1.5", "prototype.shots"),
    ("drift: tell", "shots: many", "prototype.shots"),
    ("drift: tell", "cost: -1", "prototype.cost"),
    ("drift: tell", "cost: 0.00001", "prototype.cost"),
    ("drift: tell", "cost: .inf", "prototype.cost"),
    ("drift: tell", "cost: .nan", "prototype.cost"),
    ("drift: tell", "regions: []", "prototype.regions"),
    ("drift: tell", "regions: eu-de", "prototype.regions"),
    ("drift: tell", "regions: ['*']", "prototype.regions.0"),
    ("approvers: 2", "approvers: 2\n  approver: 2", "business.approver"),
    ("business:", "production:", "production"),
    ("approvers: 2", "approvers: 2026-13-45", "tiers.yaml"),
]


@pytest.mark.parametrize(("line", "instead", "field"), WRONG)
def test_one_wrong_field(path: Path, line: str, instead: str, field: str) -> None:
    """The error is ours, names file and field, says what to do, and does not repeat the value."""
    assert line in SHIPPED
    path.write_text(SHIPPED.replace(line, instead, 1))
    with pytest.raises(InputError) as caught:
        load_tiers(path)
    assert caught.value.where.startswith(str(path))
    assert field in caught.value.where
    assert caught.value.message and caught.value.advice


FILES = {
    "empty": b"",
    "a_list": b"[]",
    "a_word": b"business",
    "no_yaml": b"a: [",
    "tabs": b"a:\n\tb: 1",
    "no_text": b"\xff\xfe",
    "control_characters": b"a: \x00",
    "an_object": b"!!python/object/apply:os.system ['true']",
    "a_bad_date": b"prototype: 2026-99-99",
    "an_unhashable_key": b"? [a]\n: b\n",
    "numbers_for_names": b"1: 2",
    "one_tier": "".join(SHIPPED.partition("integration:")[0]).encode(),
    "deep": b"[" * 3000,
    "one_tier_twice": SHIPPED.encode() + b"business:\n  approvers: 1\n",
    "one_field_twice": SHIPPED.replace("approvers: 2", "approvers: 2\n  approvers: 1").encode(),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_are_no_tiers(path: Path, case: str) -> None:
    """Whatever else the file is, there is one InputError with its path; what is said twice is not guessed at."""
    path.write_bytes(FILES[case])
    with pytest.raises(InputError) as caught:
        load_tiers(path)
    assert str(path) in caught.value.where


def test_no_file(tmp_path: Path) -> None:
    """A missing file and a folder in its place."""
    for place in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InputError, match="can't be read"):
            load_tiers(place)


@pytest.mark.parametrize("missing", ["prototype", "integration", "business"])
def test_a_missing_tier_is_named(path: Path, missing: str) -> None:
    """All three are there, or nobody runs anything."""
    path.write_text(yaml.safe_dump({name: tier for name, tier in yaml.safe_load(SHIPPED).items() if name != missing}))
    with pytest.raises(InputError, match=f"tiers are missing: {missing}"):
        load_tiers(path)


@settings(max_examples=120, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text("abc:-[]{}?!&*#'\"\n |>%@`01", max_size=60).map(str.encode)))
def test_any_bytes_are_an_input_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """No YAML of any kind raises anything else."""
    file = tmp_path_factory.getbasetemp() / "any-tiers.yaml"
    file.write_bytes(data)
    with pytest.raises(InputError):
        load_tiers(file)


def treated(*pairs: tuple[str, DataClass]) -> list[Treatment]:
    return [Treatment(column=f"c{number}", data_class=data_class, rule=rule) for number, (rule, data_class) in enumerate(pairs)]  # type: ignore[arg-type]


def test_the_class_of_what_leaves() -> None:
    """Dropped counts nothing, kept counts fully, tokenised and generalised one class lower, and the highest decides."""
    public, internal, confidential, restricted = DataClass
    assert effective_class([]) is public
    assert effective_class(treated(("drop", restricted))) is public
    assert effective_class(treated(("keep", restricted), ("keep", public))) is restricted
    assert effective_class(treated(("tokenise", restricted))) is confidential
    assert effective_class(treated(("generalise", confidential), ("keep", public))) is internal
    assert effective_class(treated(("tokenise", public), ("generalise", public))) is public


@given(st.lists(st.tuples(st.sampled_from(["drop", "keep", "tokenise", "generalise"]), st.sampled_from(list(DataClass)))))
def test_nothing_lowers_the_class_of_what_leaves(pairs: list[tuple[str, DataClass]]) -> None:
    """One more column never makes the rest more harmless."""
    whole = effective_class(treated(*pairs)).rank
    for number in range(len(pairs)):
        assert effective_class(treated(*pairs[:number], *pairs[number + 1 :])).rank <= whole


def test_a_tier_that_says_nothing_of_drift_stops_on_it(path: Path) -> None:
    """As everything that is left out asks for the most; of those that ship the prototype tier alone leaves it to the command."""
    assert {name: tier.drift for name, tier in load_tiers(path).items()} == {"prototype": "tell", "integration": "stop", "business": "stop"}
    path.write_text(path.read_text().replace("  drift: tell\n", ""))
    assert load_tiers(path)["prototype"].drift == "stop"


def test_above_prototype_a_long_lived_key_is_told() -> None:
    """The shipped file says so of each tier, and how long a proof may be good for."""
    tiers = load_tiers(Settings().tiers)
    assert {name: rules.long_lived_keys for name, rules in tiers.items()} == {
        "prototype": "allowed",
        "integration": "reported",
        "business": "reported",
    }
    assert tiers["business"].proof_life_seconds < tiers["integration"].proof_life_seconds == 86_400
