"""What the commands about signed acts have in common: those that give something are listed, and ended by their event's number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from prefect_gatehouse.cli.output import emit, table

if TYPE_CHECKING:
    from prefect_gatehouse.ledger.store import Event

T = TypeVar("T")

ALL = click.option("--all", "everything", is_flag=True, help="Also those that do not count any more, and why.")
WHY = click.option("--reason", required=True, help="Why, for whoever asks later.")


@dataclass(frozen=True)
class Listing(Generic[T]):
    """How acts are listed.

    Attributes:
        title: Of the table.
        headers: Of its columns.
        row: An act's cells.
        as_dict: The same for a program.
        nothing: What is said where there is none.
        void: Why it does not count; empty where it does.
        counts: What is said of one that counts.
        more: A line behind the table for each; empty for none.
    """

    title: str
    headers: Sequence[str]
    row: Callable[[T], Sequence[str]]
    as_dict: Callable[[T], dict[str, Any]]
    nothing: str
    void: Callable[[T], str] = attrgetter("void")
    counts: str = "counts"
    more: Callable[[T], str] = lambda _: ""

    def show(self, known: Sequence[T], everything: bool, as_json: bool) -> None:
        """Lists those that count, or all of them with why they do not."""
        found = [each for each in known if everything or not self.void(each)]

        def render() -> None:
            if not found:
                click.echo(self.nothing)
                return
            state = [(self.void(each) or self.counts,) if everything else () for each in found]
            rows = [(*self.row(each), *said) for each, said in zip(found, state, strict=True)]
            table(self.title, (*self.headers, *(("State",) if everything else ())), rows)
            for line in filter(None, map(self.more, found)):
                click.echo(line)

        emit([self.as_dict(each) for each in found], as_json, render)


def end(act: Callable[..., Event[Any]], number: str, reason: str, what: str, done: str, as_json: bool) -> None:
    """Signs an act about another one and says so.

    Args:
        act: Signs it.
        number: Of the other's event, as it was typed.
        reason: Why.
        what: What the other one is, as its field is called.
        done: What is said of it.
        as_json: Whether a program reads.
    """
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        event = act(settings, ledger, number, reason)
    data = {what: getattr(event.fact, what), "event": event.seq, "person": event.fact.person}
    emit(data, as_json, lambda: click.echo(f"{what} {number} {done}; signed by {event.fact.person} [{event.seq}]"))


def fields(event: Event[Any]) -> dict[str, Any]:
    """An act's own fields, with its event's number and time."""
    return {**event.fact.model_dump(mode="json", exclude={"signature", "key", "action"}), "event": event.seq, "at": event.at}
