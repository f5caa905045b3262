"""Results of earlier runs that are taken over, where everything that a job depends on is the same.

The runs are those of one workflow, newest first; one is read when it is first asked.
"""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

from cc_notebook.errors import CCError
from cc_notebook.model import Job
from cc_notebook.runs import Run

Facts = Mapping[str, object]


def outputs(runs: Sequence[Run], name: str) -> dict[str, object] | None:
    """What a job has put out in the newest run in which it was done; None if there is none."""
    for run in runs:
        with suppress(CCError, KeyError):
            if (status := run.refresh().jobs[name]).state == "done":
                return dict(status.outputs)
    return None


def look(runs: Sequence[Run], job: Job, facts: Facts, folder: str) -> tuple[dict[str, object] | None, str]:
    """The outputs that can be taken over, or None; and where they are from, or why the job runs again."""
    if job.kind != "local" or job.isolated:
        return None, "its files are not in the workflow's folder"
    if gone := next((name for name in job.files.out if not os.path.exists(os.path.join(folder, name))), None):
        return None, f"the file {gone} is not there"
    for run in runs:
        with suppress(CCError, OSError, ValueError, KeyError, TypeError):
            status = run.refresh().jobs[job.name]
            if status.attempt:  # no older run is asked: the files in the folder are of this one
                if status.ending != "exit" or status.state != "done":
                    return None, f"run {run.id} did not end it well"
                log = run.log_path(job.name, status.attempt)
                spec = json.loads((log.parent / "spec.json").read_text()) if log else {}
                return _compare(run, spec["facts"], facts, dict(status.outputs))
    return None, "no earlier run has done it"


def _compare(run: Run, old: Facts, new: Facts, outputs: dict[str, object]) -> tuple[dict[str, object] | None, str]:
    for key in [*new, *(key for key in old if key not in new)]:
        if old.get(key) != new.get(key):
            told = " → ".join(json.dumps(facts[key])[:40] if key in facts else "none" for facts in (old, new))
            return None, f"{key} changed" + f" {told}" * (key.split()[0] not in ("script", "file"))  # of these: hashes
    return outputs, f"unchanged since run {run.id}"
