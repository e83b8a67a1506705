"""``gatehouse emulator``: a provider's service on this machine, for tests and outage drills."""

from __future__ import annotations

import importlib.util
import json
import warnings
from contextlib import suppress

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
    if importlib.util.find_spec("moto") is None:
        raise InputError("moto is not installed", where="emulator braket", advice='install "prefect-gatehouse[emulators]"')
    warnings.simplefilter("ignore")  # those of the packages that serve S3 are for their authors
    from prefect_gatehouse.emulators.braket.server import Emulator

    try:
        emulator = Emulator(port, maximum_executables, noise=not no_noise)
    except (OSError, SystemExit):  # werkzeug ends the process where a port is taken
        raise InputError(f"port {port} can't be listened on", where="emulator braket", advice="use another port") from None
    found = emulator.environment()
    click.echo(json.dumps(found) if as_json else "\n".join(f"export {name}={value}" for name, value in found.items()))
    with suppress(KeyboardInterrupt):
        emulator.serve()


command.add_command(gatehouse_command("braket", "Answer as Amazon Braket, S3 and STS until Ctrl-C.")(_braket))
