"""Runs flow runs in forked children of one warm process: a real process a run, without seconds of imports each time.

Reads one JSON object a line: {"run": id, "env": {...}, "log": file, "kill": {...}, "fail": gate}; answers with the child's status.
``kill`` is {"boundary": n, "side": "before" | "after"} (SIGKILL at the n-th transaction of the run, before or after it), or
{"event": name, "side": ...} (SIGKILL when the event of this name, or one below it, is to be written, or has been), or
{"suspended": true} (SIGKILL as soon as Prefect has the run as suspended), or {"staying": "SIGTERM"} (half a second after it began to
stay for the answer), or {"judging": "STOP"} (when it is about to judge the answer that it has read), or {"seconds": s};
with "signal": "STOP" the process is frozen instead, and the answer names it; {"thaw": process} lets it go on and
waits for its end. ``warrant`` is a gatehouse worker's proof of itself. ``fail`` makes one gate's function raise with the
canaries in its message. ``told_late`` is by how many seconds Prefect's event that the run is suspended comes late. ``tap`` is a
file that gets a line for each effect outside (a job made, with its payload in clear; rows published), while the real thing goes on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.installed import inherit_look, look


def _arm(order: dict[str, Any]) -> None:
    kill = order.get("kill") or {}
    if "seconds" in kill:
        threading.Thread(target=lambda: (time.sleep(kill["seconds"]), os.kill(os.getpid(), signal.SIGKILL)), daemon=True).start()
    if "boundary" in kill or "event" in kill:
        _kill_at(kill)
    if "suspended" in kill:
        _kill_when_suspended()
    if "staying" in kill:
        _kill_when_staying(signal.Signals[kill["staying"]])
    if "judging" in kill:
        _kill_when_judging(signal.Signals[f"SIG{kill['judging']}"])
    if order.get("told_late"):
        _tell_late(order["told_late"])
    if order.get("fail"):
        _fail_at(order["fail"], order["text"])
    if order.get("tap"):
        _tap(Path(order["tap"]))


def _kill_at(kill: dict[str, Any]) -> None:
    from prefect_gatehouse.run.attempt import Attempt

    effect, append = Attempt.effect, Attempt.append
    deadly = signal.Signals[f"SIG{kill.get('signal', 'KILL')}"]
    seen = {"transactions": 0, "event": False}

    @contextmanager
    def counted(self: Attempt) -> Iterator[Any]:
        seen["transactions"] += 1
        here = seen["transactions"] == kill.get("boundary")
        if here and kill["side"] == "before":
            os.kill(os.getpid(), deadly)
        with effect(self) as tx:
            yield tx
        if (here or seen["event"]) and kill["side"] == "after":
            os.kill(os.getpid(), deadly)

    def watched(self: Attempt, tx: Any, name: str, fact: Any) -> bool:
        # "minimise" is the event that stores the gate's value; "entered:ab12" tells that it was entered.
        if "event" in kill and (name == kill["event"] or name.startswith(kill["event"] + ":")):
            seen["event"] = True
            if kill["side"] == "before":
                os.kill(os.getpid(), deadly)
        return append(self, tx, name, fact)

    Attempt.effect = counted  # type: ignore[method-assign]
    Attempt.append = watched  # type: ignore[method-assign]


def _kill_when_suspended() -> None:
    import prefect.flow_runs

    propose = prefect.flow_runs.propose_state_sync

    def deadly(*args: Any, **kwargs: Any) -> Any:
        state = propose(*args, **kwargs)
        if state.is_paused():
            os.kill(os.getpid(), signal.SIGKILL)
        return state

    prefect.flow_runs.propose_state_sync = deadly


def _fail_at(gate: str, text: str) -> None:
    from prefect_gatehouse.tasks.gate import Gate

    run = Gate.run

    def failing(self: Gate[Any, Any], attempt: Any, args: Any, kwargs: Any) -> Any:
        if self.name == gate:
            raise ValueError(text)
        return run(self, attempt, args, kwargs)

    Gate.run = failing  # type: ignore[method-assign]


def _tell_late(seconds: float) -> None:
    import prefect._flow_run_suspension as suspension

    mark = suspension.mark_flow_run_suspension_requested

    def late(*args: Any) -> bool:
        time.sleep(seconds)
        return mark(*args)

    suspension.mark_flow_run_suspension_requested = late


def _kill_when_judging(deadly: signal.Signals) -> None:
    from prefect_gatehouse.tasks import asking

    judge = asking.judge

    def late(*args: Any) -> None:
        os.kill(os.getpid(), deadly)
        judge(*args)

    asking.judge = late  # type: ignore[assignment]


def _kill_when_staying(deadly: signal.Signals) -> None:
    from prefect_gatehouse.flows import linger

    taken = linger._taken

    def doomed(*args: Any) -> Any:
        threading.Thread(target=lambda: (time.sleep(0.5), os.kill(os.getpid(), deadly)), daemon=True).start()
        return taken(*args)

    linger._taken = doomed


def _tap(file: Path) -> None:
    from prefect_gatehouse.providers.simulator.job_store import JobStore
    from prefect_gatehouse.write_back import sql

    submit, publish = JobStore.submit, sql.publish

    def note(*words: str) -> None:
        with file.open("a") as stream:
            stream.write(json.dumps(words) + "\n")

    def tapped_submit(self: JobStore, payload: bytes, key: str) -> str:
        new = self.find(key) is None
        handle = submit(self, payload, key)
        if new:
            note("job", key, payload.decode("latin-1"))
        return handle

    def tapped_publish(*args: Any, **kwargs: Any) -> Any:
        published = publish(*args, **kwargs)
        if not published.repeated:
            note("publish", kwargs["run_id"])
        return published

    JobStore.submit = tapped_submit  # type: ignore[method-assign]
    sql.publish = tapped_publish


def _child(order: dict[str, Any]) -> None:
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(order.get("env", {}))
    from prefect.client.orchestration import get_client
    from prefect.context import refresh_global_settings_context
    from prefect.flow_engine import run_flow

    from prefect_gatehouse.flows.governed_pipeline import governed_pipeline

    refresh_global_settings_context()
    if order.get("warrant"):
        from prefect_gatehouse.flows.started_by import hand_over
        from prefect_gatehouse.identity.warrant import SignedWarrant

        hand_over(SignedWarrant.model_validate_json(order["warrant"]))
    os.environ["PREFECT__FLOW_RUN_ID"] = order["run"]
    _arm(order)
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(uuid.UUID(order["run"]))
    run_flow(governed_pipeline, flow_run=flow_run, parameters=governed_pipeline.validate_parameters(flow_run.parameters), return_type="state")


def _send_logs() -> None:
    """What is left of the run's records is sent before the process ends, as at an interpreter's own end, which `os._exit` leaves out."""
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=10)


def main() -> None:
    # Everything heavy once, before the first fork; nothing here starts a thread.
    import great_expectations  # noqa: F401
    import qiskit.circuit.library  # noqa: F401
    import qiskit_aer  # noqa: F401

    import prefect_gatehouse.flows.governed_pipeline  # noqa: F401
    from prefect_gatehouse.validation import gx_import  # noqa: F401
    from prefect_gatehouse.value import build_models

    build_models()
    look()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        order = json.loads(line)
        if "thaw" in order:
            os.kill(order["thaw"], signal.SIGCONT)
            os.waitpid(order["thaw"], 0)
            sys.stdout.write("{}\n")
            sys.stdout.flush()
            continue
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setpgid(0, 0)
                inherit_look(os.getppid())
                _child(order)
                status = 0
            except BaseException as error:  # noqa: BLE001 - Pause and Abort are: the run is suspended, or has left in a final state
                status = 0 if type(error).__name__ in {"Pause", "Abort"} else 1
                if status:
                    import traceback

                    traceback.print_exc()
            finally:
                _send_logs()
                sys.stdout.flush()
                os._exit(status)
        _, raw = os.waitpid(child, os.WUNTRACED)
        answer = {"signal": os.WTERMSIG(raw) if os.WIFSIGNALED(raw) else 0, "exit": os.WEXITSTATUS(raw)}
        if os.WIFSTOPPED(raw):
            answer = {"stopped": child}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
