"""``gatehouse emulator``: a provider's service on this machine, for tests and outage drills."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import click

from prefect_gatehouse.cli.output import gatehouse_command
from prefect_gatehouse.errors import InputError


@click.group(name="emulator")
def command() -> None:
    """Start a server that a provider's unmodified SDK talks to."""


@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; a free one unless given.")
@click.option("--maximum-executables", type=click.IntRange(1), default=100, show_default=True, help="Circuits that a program set may hold.")
@click.option("--no-noise", is_flag=True, help="The machine does not err.")
def _braket(port: int, maximum_executables: int, no_noise: bool, as_json: bool) -> None:
    """Answer as Amazon Braket, S3 and STS until Ctrl-C.

    Prints the lines that send a shell's SDKs there. Faults are ordered below /_emulator/; docs/emulators.md lists them.
    """
    require("moto", "emulators", "emulator braket")
    warnings.simplefilter("ignore")  # those of the packages that serve S3 are for their authors
    from prefect_gatehouse.emulators.braket.server import Emulator

    with _on(port, "emulator braket"):
        emulator = Emulator(port, maximum_executables, noise=not no_noise)
    _answer(emulator.environment(), emulator.serve, as_json=as_json)


@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; a free one unless given.")
@click.option("--no-noise", is_flag=True, help="The machine does not err.")
def _ibm(port: int, no_noise: bool, as_json: bool) -> None:
    """Answer as IBM Quantum, IAM and the search for instances until Ctrl-C.

    Prints the lines that send a shell's SDK there. Faults are ordered below /_emulator/; docs/emulators.md lists them.
    """
    require("qiskit_ibm_runtime", "ibm", "emulator ibm")
    warnings.simplefilter("ignore")  # as above
    from prefect_gatehouse.emulators.ibm.server import Emulator

    with _on(port, "emulator ibm"):
        emulator = Emulator(port, noise=not no_noise)
    _answer(emulator.environment(), emulator.serve, as_json=as_json)


def require(module: str, extra: str, where: str) -> None:
    """Raises if what an emulator is built on is not there.

    Raises:
        InputError: It is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise InputError(f"{module.replace('_', '-')} is not installed", where=where, advice=f'install "prefect-gatehouse[{extra}]"')


@contextmanager
def _on(port: int, where: str) -> Iterator[None]:
    """Around the making of a server; werkzeug ends the process where a port is taken."""
    try:
        yield
    except (OSError, SystemExit):
        raise InputError(f"port {port} can't be listened on", where=where, advice="use another port") from None


def _answer(environment: dict[str, str], serve: Callable[[], None], *, as_json: bool) -> None:
    """Prints what sends SDKs there, then answers until Ctrl-C."""
    click.echo(json.dumps(environment) if as_json else "\n".join(f"export {name}={value}" for name, value in environment.items()))
    with suppress(KeyboardInterrupt):
        serve()


command.add_command(gatehouse_command("braket", "Answer as Amazon Braket, S3 and STS until Ctrl-C.")(_braket))
command.add_command(gatehouse_command("ibm", "Answer as IBM Quantum until Ctrl-C.")(_ibm))
