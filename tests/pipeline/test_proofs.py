"""Short-lived proofs against a real Prefect server: a certificate of `ssh-keygen -s`, and an ID token of Vault's OpenID provider."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.identity.certificates import Authority
from tests.pipeline.test_operator_commands import command, ended, scheduled, start  # noqa: F401 - two fixtures
from tests.services.vault_oidc import OpenIdProvider
from tests.services.vault_server import VaultServer
from tests.support.pipeline import OTHER, REQUESTER, ROWS

from prefect_gatehouse.identity import authorities, providers
from prefect_gatehouse.identity.keys import generate_key
from prefect_gatehouse.manifest.fields import DataClass

pytestmark = [pytest.mark.xdist_group("stack-2"), pytest.mark.timeout(600)]


def test_a_person_without_a_key_approves(
    pipeline: Any,
    vault: VaultServer,
    start: Callable[..., Any],  # noqa: F811
    command: Callable[..., tuple[int, str]],  # noqa: F811
) -> None:
    """The request is signed with a certificate; a host's certificate is refused and the form comes back; signing in at Vault for this plan counts."""
    authority = Authority(pipeline.folder)
    authorities.add_authority(pipeline.people, authority.line, names="*", groups={})
    authority.certify(pipeline.keys[REQUESTER], REQUESTER)
    pipeline.people.add("carol", roles=frozenset({"approver"}), clearance=DataClass.RESTRICTED)
    provider = OpenIdProvider(vault)
    providers.add_provider(pipeline.people, provider.issuer, audience=provider.client, groups={}, without_auth_time=True)
    providers.link(pipeline.people, "carol", provider.issuer, provider.person("carol"))

    run_id = pipeline.start()
    pipeline.process(run_id)
    generate_key(pipeline.folder / "laptop", "")
    authority.certify(pipeline.folder / "laptop", "carol", "-h")
    pipeline.keys["carol"] = pipeline.folder / "laptop"
    code, said = command("approve", run_id, "--yes", who="carol")
    assert (code, "no certificate that is taken here" in said) == (2, True), said
    authority.certify(pipeline.folder / "laptop", OTHER)  # Carol's key, certified in another's name; the registry has that person's own key
    (pipeline.folder / "laptop").unlink()
    code, said = command("approve", run_id, "--yes", who="carol")
    assert (code, "the signing key that is named is not there" in said) == (2, True), said
    del pipeline.keys["carol"]

    approver = start("approve", run_id, "--yes", who="carol")
    before = ""
    while "/authorize?" not in (line := approver.stdout.readline()):
        assert line, ended(approver)
        before += line
    assert "expected of carol: an ID token of your identity provider" in before
    provider.open_later("carol", line.strip())
    scheduled(pipeline, run_id)
    pipeline.process(run_id)
    code, said = ended(approver)
    assert code == 0, said
    assert "approve: counted; 1 of 1 approvals" in said
    assert pipeline.state(run_id).is_completed()
    assert len(pipeline.rows()) == ROWS
    code, said = command("who", run_id)
    assert code == 0
    assert "ssh-certificate" in said
    assert "carol (oidc)" in said
    code, said = command("verify")
    assert code == 0, said
