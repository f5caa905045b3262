"""Labels of jobs: braces as everywhere, and the article's times. The moment and the surroundings are handed in."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta

from cc_notebook import template
from cc_notebook.model import Job
from cc_notebook.state import FINAL, JobStatus, RunState


def text(job: Job, run: RunState, now: datetime, around: Mapping[str, object]) -> str:
    """The label of a job in a run at `now` (aware); `around` holds what else braces may name (os, params).

    `{t0.%H--%M}` is a local time, `--` stands for a colon. Not known yet is N/A; an unknown name stands as typed.
    """
    form = (job.label or job.name).replace("\\n", "\n")
    values = {**around, **_values(job, run, now, form)} if "{" in form else {}

    def replaced(match: re.Match[str]) -> str:
        name, _, how = (match[1] or "").strip().partition(".")
        if isinstance(value := values.get(name), datetime):
            return value.astimezone().strftime(how.replace("--", ":") or "%m/%d/%Y, %H:%M:%S")
        if isinstance(value, timedelta):
            return _span(value, how.replace("--", ":") or "%H:%M:%S")
        try:
            return str(template.render("N/A" if name in values and value is None else match[0], values))
        except template.UnknownName:
            return match[0]

    return template.TOKEN.sub(replaced, form)


def _values(job: Job, run: RunState, now: datetime, form: str) -> dict[str, object]:
    status = run.jobs.get(job.name) or JobStatus()
    t0, t1, start = _time(run.started), _time(run.stopped if run.ended else ""), _time(status.started)
    end, extra = _time(status.ended if status.state in FINAL else ""), job.model_extra or {}
    times = {"now": now, "t0": t0, "t1": t1, "tstart": start, "tend": end}
    times["created"] = _time(extra.get("created")) or _time(run.created)
    times["modified"] = _time(status.ended or status.started or status.submitted)
    spans = {"dt0": t0 and (t1 or now) - t0, "dt1": t0 and t1 and t1 - t0, "dt": start and (end or now) - start}
    attributes = {**job.model_dump(exclude_none=True, exclude={"params"}), **extra, **times, **spans}
    named = [head for name in template.names(form) for head in (name, *template.heads(name)) if head in run.jobs]
    outputs = {name: run.jobs[name].outputs for name in named} | status.outputs
    scope, moment = run.flow.scope(job.name), {"status": status.state, "progress": status.progress}
    return {**outputs, **attributes, **scope.item, "params": {**scope.params, **scope.item}, **moment}


def _span(value: timedelta, form: str) -> str:
    """What has passed: no years, no months; a format that does not name the days has them in front."""
    value = max(value, timedelta())  # where another machine's clock is ahead
    parts = {"%Y": "0000", "%y": "00", "%m": "00", "%d": f"{value.days:02}"}
    days = f"{value.days} days, " if value.days and "%d" not in form.replace("%%", "") else ""
    own = re.sub("%.", lambda found: parts.get(found[0], found[0]), form)
    return days + (datetime.min + timedelta(0, value.seconds)).strftime(own)


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None
