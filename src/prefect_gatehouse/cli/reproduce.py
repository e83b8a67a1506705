"""``gatehouse reproduce``: a run's kept circuits on a model of its devices."""

from __future__ import annotations

import click

from prefect_gatehouse.cli.output import console, emit, gatehouse_command, plain, table

_INCIDENT = 8
_MEANS = {
    "expected": "the counts are what the device gives as it was calibrated",
    "drift": "the device was further from its calibration than chance explains",
    "incident": "the counts are not this device's with these circuits: look at wiring, order and the provider's report",
}


@click.argument("run")
@click.option("--ask", is_flag=True, help="Ask the provider what has changed of the device since; reads the secret for submit.")
def _reproduce(run: str, ask: bool, as_json: bool) -> None:
    """Run what was kept of RUN again, on a model of its devices as they were calibrated, and compare the counts.

    Answers expected, drift or incident, with the total variation distance and where chance alone would put it. Ends with exit code 8 at an incident.
    """
    from prefect_gatehouse.evidence.questions import find_run
    from prefect_gatehouse.ledger.opening import open_ledger
    from prefect_gatehouse.operate.reproduce import reproduce
    from prefect_gatehouse.settings import load_settings

    settings = load_settings()
    with open_ledger(settings) as ledger:
        run_id = find_run(ledger, run)
        if ask:
            from prefect_gatehouse.cli.quiet import quiet_prefect

            quiet_prefect()
            from prefect_gatehouse.operate.device_now import DeviceNow

            found = reproduce(settings, ledger, run_id, DeviceNow(settings, ledger, run_id))
        else:
            found = reproduce(settings, ledger, run_id)
    whole = found.whole

    def render() -> None:
        rows = [
            (
                ":".join(each.job.key.split(":")[1:]),
                each.job.backend,
                f"{len(each.job.places)} of {each.job.circuits}",
                str(each.job.shots),
                each.model,
                f"{each.found.distance:.3f}",
                f"{each.found.low:.3f} to {each.found.high:.3f}",
                each.found.verdict,
            )
            for each in found.jobs
        ]
        table("Jobs run again", ("Job", "Backend", "Circuits", "Shots", "Model", "Distance", "By chance", "Verdict"), rows)
        out = console()
        for each in found.jobs:
            if each.change:
                out.print(plain(f"{each.job.backend} since {each.job.at:%Y-%m-%d %H:%M} UTC: {each.change}"), markup=False, soft_wrap=True)
        means = f"distance {whole.distance:.3f}, by chance {whole.low:.3f} to {whole.high:.3f}"
        out.print(f"{found.verdict}: {means}; {_MEANS[found.verdict]}", markup=False, soft_wrap=True)

    data = {
        "run": run_id,
        "verdict": found.verdict,
        "distance": whole.distance,
        "interval": [whole.low, whole.high],
        "jobs": [each.as_dict() for each in found.jobs],
    }
    emit(data, as_json, render)
    if found.verdict == "incident":
        raise SystemExit(_INCIDENT)


command = gatehouse_command("reproduce", "Run what was kept of a run again, on a model of its devices, and compare.")(_reproduce)
