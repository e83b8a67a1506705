"""The server as a process of its own: prints the environment's lines as JSON on one line, then answers until it is killed."""

from __future__ import annotations

import argparse
import json
import sys

from prefect_gatehouse.emulators.ibm.server import Emulator


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m prefect_gatehouse.emulators.ibm")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--no-noise", action="store_true")
    given = parser.parse_args()
    emulator = Emulator(given.port, noise=not given.no_noise)
    sys.stdout.write(json.dumps(emulator.environment()) + "\n")
    sys.stdout.flush()
    emulator.serve()


if __name__ == "__main__":
    _main()
