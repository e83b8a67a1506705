"""``gatehouse approve`` and ``reject``: show the plan, or the outcome that is to be released, sign exactly it, resume the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import click

from prefect_gatehouse.cli.output import confirm, emit, gatehouse_command
from prefect_gatehouse.errors import InputError

if TYPE_CHECKING:
    from prefect_gatehouse.identity.people import People
    from prefect_gatehouse.settings import Settings


@dataclass(frozen=True)
class _Proof:
    """How somebody proves who they are: by a code, by a token that is given or signed in for, or else by a signature.

    Whoever has no key on this machine and an installation with identity providers signs in at one, asked or not.
    """

    code: str | None
    token_file: str | None
    sign_in: bool
    issuer: str

    def of(self, settings: Settings, message: bytes) -> str | None:
        """Code or token; None where the caller is to sign."""
        from prefect_gatehouse.identity.people import People

        if sum((self.code is not None, self.token_file is not None, self.sign_in)) > 1:
            raise InputError("more than one proof is given", where="--code, --token-file, --sign-in", advice="give one")
        if self.token_file is not None:
            return _read_token(self.token_file, message)
        if self.code is not None:
            return self.code
        people = People(settings.people_folder())
        if self.sign_in or self.issuer or (settings.signing_key() is None and people.provider_entries()):
            return _signed_in(people, self.issuer, message)
        return None


def _read_token(path: str, message: bytes) -> str:
    from prefect_gatehouse.identity.methods.oidc import nonce_of

    click.echo(f"the ID token's nonce has to be {nonce_of(message)}", err=True)
    try:
        with click.open_file(path) as stream:
            return str(stream.read(20_000)).strip()
    except (OSError, UnicodeDecodeError):
        raise InputError("the token can't be read", where=path, advice="name a file that holds it, or - for the standard input") from None


def _signed_in(people: People, issuer: str, message: bytes) -> str:
    from prefect_gatehouse.operate.sign_in import obtain_token, provider_of

    chosen, provider = provider_of(people, issuer)
    return obtain_token(chosen, provider, message, lambda url: click.echo(f"sign in here, for this plan alone:\n{url}", err=True))


def _decide(
    run: str,
    decision: Literal["approve", "reject"],
    approver: str,
    proof: _Proof,
    reason: str,
    yes: bool,
    follow: bool,
    as_json: bool,
) -> None:
    from prefect_gatehouse.cli.quiet import quiet_prefect

    quiet_prefect()
    from prefect_gatehouse.cli.follow import follow_to_the_end
    from prefect_gatehouse.cli.plan import print_matter
    from prefect_gatehouse.evidence.questions import find_run
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.answering import asked, follow_answer, form_differs
    from prefect_gatehouse.operate.runs import answer, sign_answer
    from prefect_gatehouse.run.approvals import statements
    from prefect_gatehouse.run.matter import digests_of, terms_of
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        run_id = find_run(ledger, run)
        matter, asking = asked(ledger, run_id)
        terms = terms_of(matter)
        if form_differs(ledger, run_id):
            told = f"Prefect's form is not this {terms.noun}: somebody changed it there. What counts is the ledger's {terms.noun}, as shown here."
            click.echo(told, err=True)
        if not as_json:
            print_matter(matter)
            click.echo(f"\nYou decide about this:\n{statements(matter, asking)[decision == 'reject'].message().decode()}\n")
            for person, means in sorted(asking.expects.items()):
                click.echo(f"expected of {person}: {means}")
        if not yes:
            confirm(f"{decision.capitalize()} exactly this {terms.noun}?")
        message = statements(matter, asking)[decision == "reject"].message()
        given = proof.of(settings, message) or sign_answer(settings, ledger, run_id, decision)
        row = ledger.run(run_id)
        assert row is not None  # find_run listed it
        answer(run_id, decision, approver=approver, proof=given, reason=reason)
        now = follow_answer(ledger, matter, asking, row.attempt)
    have = f"{len(now.approvals)} of {now.needed} {terms.consents}{now.lacks}"
    goes_on = "the run goes on" if now.decided else "the run waits for more"
    emit(
        {"run": run_id, "decision": decision, **_digests(digests_of(matter)), "approvals": len(now.approvals), "needed": now.needed},
        as_json,
        lambda: click.echo(f"approve: counted; {have}, {goes_on}" if decision == "approve" else "reject: counted; the run has ended"),
    )
    if follow:
        follow_to_the_end(settings, run_id, since=row.attempt, quiet=as_json)


def _digests(digests: dict[str, str]) -> dict[str, str]:
    """What was decided about: the plan, and the outcome where it was one."""
    return {name.removesuffix("_digest"): value for name, value in digests.items() if value}


def _proofs(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say how somebody proves who they are."""
    for option in (
        click.option("--issuer", default="", help="The identity provider, where the registry has several."),
        click.option("--sign-in", is_flag=True, help="Sign in at your identity provider, in a browser on this machine, instead of a signature."),
        click.option("--token-file", metavar="FILE", help="ID token instead of a signature, - for the standard input; its nonce is told."),
        click.option("--code", help="One-time code instead of a signature."),
        click.option("--as", "approver", default="", metavar="PERSON", help="Your identifier; needed with --code."),
    ):
        command = option(command)
    return command


@click.argument("run")
@_proofs
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--follow", is_flag=True, help="Follow the run until it waits again or ends.")
def _approve(run: str, approver: str, yes: bool, follow: bool, as_json: bool, **proof: Any) -> None:
    """Show RUN's plan, sign it with your key (GATEHOUSE_IDENTITY) and its certificate, resume the run, and wait until it has judged your answer.

    A run whose outcome waits to be released before it is written back shows that, and your answer is about it.

    Without a key you sign in at the identity provider, where the registry has one.
    """
    _decide(run, "approve", approver, _Proof(**proof), "", yes, follow, as_json)


@click.argument("run")
@_proofs
@click.option("--reason", default="", help="For the record.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def _reject(run: str, approver: str, reason: str, yes: bool, as_json: bool, **proof: Any) -> None:
    """Reject RUN's plan, or withhold its outcome, and wait until the run has ended and cleaned up."""
    _decide(run, "reject", approver, _Proof(**proof), reason, yes, False, as_json)


approve = gatehouse_command("approve", "Show a run's plan, sign it, and resume the run.")(_approve)
reject = gatehouse_command("reject", "Reject a run's plan; the run ends and cleans up.")(_reject)
