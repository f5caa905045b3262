"""Why a job is in its state: the proof, in plain sentences, from the events alone."""

from contextlib import suppress

from cc_notebook import control, hosts, loops
from cc_notebook.errors import InputError, plain
from cc_notebook.runs import Run
from cc_notebook.state import Event


def job(run: Run, name: str) -> str:
    """A few lines: the state with its proof, the parents and the trigger, then every event of the job."""
    view = run.refresh()
    flow = view.flow
    status, spec, plan = run.status(name), flow.jobs[name], control.Plan(flow, view.jobs)
    origin = flow.origin(name)
    states = {other: "blocked" if other in plan.blocked else one.state for other, one in view.jobs.items()}
    parents = [f"{parent} ({states[parent]})" for parent in plan.parents[origin]]
    lines = [f"{name} is {states[name]}" + (f": {status['reason']}" if status["reason"] else "")]
    lines.append(f"trigger {spec.trigger}; parents: {', '.join(parents) or 'none'}")
    if origin != name:
        item = ", ".join(f"{key} = {value!r}" for key, value in flow.scope(name).item.items())
        lines.append(f"one of {origin}: {item}")
    if name in flow.members:
        counts = ", ".join(f"{number} {state}" for state, number in status["counts"].items()) or "none"
        lines.append(f"its members: {counts}; see: jupyter cc show RUN --members")
    if spec.when and not spec.foreach and (status["state"] != "ready"):
        with suppress(InputError):  # then the state's own reason tells it
            lines.append(loops.wanted(flow, view.jobs, name)[1])
    if status["changed"]:
        lines.append("the script changed since attempt 1")
    if status["state"] == "ready" and status["waiting"] == "ready":
        lines.append("it waits for a free place" if not view.paused else "the run is paused")
    if error := status["error"]:
        lines += [f"in cell {error['cell']} of {error.get('cells')}:"] if error.get("cell") else []
        lines += [f"    {line}" for line in str(error.get("source", "")).splitlines()]
        lines += plain(str(error.get("traceback", ""))).splitlines()
    own = [event for event in run.events() if event.job == name or name in event.jobs]
    lines += [f"  {event.at[:19]}Z  event {event.seq}: {sentence(event)}" for event in own if event.type != "progress"]
    if (log := run.log_path(name)) and spec.kind != "local":
        there = f"{hosts.settings(run.spec.workflow, spec).workdir}/{run.id}/{log.parent.relative_to(run.folder)}"
        lines.append(f"proof: {there} on {status['host']}")
    elif log and log.parent.exists():
        lines.append(f"proof: {log.parent}")
    return "\n".join(lines)


def sentence(event: Event) -> str:
    """An event as a few words; whose it is stands beside them."""
    attempt, reported = f"attempt {event.attempt}", {"progress": event.progress, **event.outputs}
    why = f": {event.reason}" if event.reason else ""
    proof = f"{attempt} left the record of exit 0 at {event.ended or event.at}"
    told = {
        "submit": f"{attempt} handed to {event.host or 'the engine'} (script {event.script or 'none'}){why}",
        "grow": f"gets members: {len(event.items)}",
        "take": f"taken over, with its outputs{why}",
        "start": f"{attempt} claimed by process {event.native_id} at {event.started}",
        "done": f"all its members have ended{why}" if event.ending == "members" else proof,
        "reset": "made ready again by a retry",
        "mark": f"set to {event.state} by hand",
        "progress": " ".join(f"{key}={value}" for key, value in reported.items() if value is not None),
        "engine": f"process {event.native_id} works on the run",
        "host": f"{event.host}: {event.reason or 'answers again'}",
        "end": f"the run is {event.state}{why}",
    }
    text = told.get(event.type, f"{attempt if event.attempt else event.host} {event.type}{why}".strip())
    return f"{text}; jobs that join: {', '.join(event.nodes)}" if event.nodes else text
