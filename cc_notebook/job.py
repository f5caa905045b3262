"""One job of a workflow, with the article's methods (its Figure 8); what ran is asked of the workflow's newest run."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from cc_notebook import store
from cc_notebook.errors import InputError, clean
from cc_notebook.runs import Run
from cc_notebook.state import FINAL, JobStatus

if TYPE_CHECKING:
    from cc_notebook.workflow import Workflow

TEMPLATES = {
    ".sh": '#!/bin/sh\necho "# cloudmesh status=running progress=1 pid=$$"\n{}\n'
    'echo "# cloudmesh status=done progress=100 pid=$$"\n',
    ".py": "from cc_notebook import progress\n\nprogress(1)\n{}\nprogress(100)\n",
}


class Job:
    """One job of a workflow as written: `job["label"]` is an attribute, `a >> [b, c] >> d` adds dependencies.

    `refresh` is accepted as in the article and not needed: an answer is always of this moment.
    """

    def __init__(self, workflow: "Workflow", name: str) -> None:
        self.workflow, self.name = workflow, name

    def __repr__(self) -> str:
        return f"<Job {self.name}: {self.attributes}>"

    def __getitem__(self, key: str) -> Any:
        return self.attributes[key]

    def __rshift__(self, other: "Job | Sequence[Job]") -> "Job | Sequence[Job]":
        for job in [other] if isinstance(other, Job) else other:
            self.workflow.add_dependency(self.name, job.name)
        return other

    def __rrshift__(self, others: "Sequence[Job]") -> "Job":
        for job in others:
            self.workflow.add_dependency(job.name, self.name)
        return self

    @property
    def attributes(self) -> dict[str, Any]:
        """What the workflow says about this job, by attribute name."""
        return {"name": self.name, **self.workflow.nodes[self.name]}

    def clear(self) -> None:
        """Clear the job's progress: it is ready again, and its run goes on with it. Raises InputError while it runs."""
        self._newest().mark(self.name, "ready")

    def create(self, filename: str | None = None, script: str | None = None, exec: str | None = None) -> str:
        """Write a script with progress lines around `exec` (default: a comment) and make it this job's; its path.

        It is called `filename`, `script` or `<name>.sh`. Raises InputError if that is there or no .sh or .py file.
        """
        name = filename or script or f"{self.name}.sh"
        path, suffix = self.workflow.folder / os.path.expanduser(name), os.path.splitext(name)[1]
        if suffix not in TEMPLATES or path.exists():
            why = "is there already: remove it, or name another" if path.exists() else "is no .sh or .py file"
            raise InputError(f"{path} {why}")
        store.write_new(path, TEMPLATES[suffix].format(exec or "# what the job does"))
        attributes = {key: value for key, value in self.workflow.nodes[self.name].items() if key != "exec"}
        self.workflow.add_job(self.name, **attributes | {"script": name})
        return str(path)

    def get_log(self, refresh: bool = True) -> str:
        """What the newest attempt printed, empty before the first."""
        run = self.workflow.newest()
        return run.log(self.name) if run else ""

    def get_pid(self, refresh: bool = False) -> int | None:
        """The process id of the newest attempt on its machine, None while it has none."""
        pid = self._status()["native_id"].partition("@")[0]
        return int(pid) if pid.isdecimal() else None

    def get_progress(self, refresh: bool = False) -> int:
        """0 to 100."""
        return int(self._status()["progress"])

    def get_status(self, refresh: bool = False) -> str:
        """`ready`, `submitted`, `running`, `done`, `failed`, `cancelled` or `skipped`."""
        return str(self._status()["state"])

    def kill(self) -> None:
        """End the job's whole process tree; what does not depend on it goes on."""
        self._newest().cancel(self.name)

    def run(self) -> Run:
        """Run this job alone, with what it depends on as earlier runs have left it; its run, at once."""
        return self.workflow.run(only=self.name)

    def sync(self) -> Self:
        """Raises SpecError if the job's files are not there. They are copied anew at each start, so nothing is old."""
        self.workflow.model()
        return self

    def watch(self, period: float = 10) -> str:
        """Print each change of state or progress, looked for every `period` seconds, until the job ends; the state."""
        shown: tuple[object, ...] = ()
        run = self._newest()
        for view in run.follow(period):
            status = view.jobs[self.name]
            if shown != (shown := (status.state, status.progress)):
                print(clean(f"{self.name} {status.state} {status.progress}%"), file=sys.stdout, flush=True)
            if status.state in FINAL:
                break
        return self.get_status()

    def _newest(self) -> Run:
        if run := self.workflow.newest():
            return run
        raise InputError(f"workflow '{self.workflow.name}' has not run yet: call run() first")

    def _status(self) -> dict[str, Any]:
        run = self.workflow.newest()
        return run.status(self.name) if run else JobStatus().to_dict()
