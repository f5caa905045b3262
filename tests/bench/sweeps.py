"""Measurements of notebooks, labels, pictures and loops; see works.py."""

from __future__ import annotations

import json
import sys
from statistics import median

import graphs
import nbformat
from table import Row, limit
from tools import Tools, cli, our_environment, text_of, timed
from works import Scale, _against, _rounds

NOTEBOOKS = 10
LABELS = """
import time
from datetime import UTC, datetime
from cc_notebook import labels
from cc_notebook.model import Job, Workflow
from cc_notebook.state import Event, RunState
text = "{name}\\\\n{progress}\\\\n{created.%Y/%m/%d, %H--%M--%S}\\\\n{dt0.%M--%S}\\\\n{tstart.} {os.HOME}"
jobs = {f"j{n}": Job(name=f"j{n}", exec="true", label=text) for n in range(100)}
run, now = RunState(Workflow(jobs=jobs)), datetime.now(UTC)
for n, name in enumerate(jobs):
    run.feed(Event("submit", now.isoformat(), n, name, 1))
labels.text(jobs["j0"], run, now, {})
begin = time.perf_counter()
for job in jobs.values():
    labels.text(job, run, now, {"os": {"HOME": "/home/me"}})
print(time.perf_counter() - begin)
"""
PICTURE = """
import sys, time
from cc_notebook import Workflow
from cc_notebook.state import Event, RunState
from cc_notebook.views import picture
flow = Workflow(sys.argv[1]).model()
run = RunState(flow)
begin = time.perf_counter()
picture.svg(flow, run)
first = time.perf_counter() - begin
run.feed(Event("submit", "2026-01-01T10:00:00+00:00", 1, next(iter(flow.jobs)), 1))
picture.svg(flow, run)
run.feed(Event("start", "2026-01-01T10:00:01+00:00", 2, next(iter(flow.jobs)), 1))
begin = time.perf_counter()
picture.svg(flow, run)
print(first, time.perf_counter() - begin)
"""
EXPAND = """
import time
from cc_notebook import control, loops
from cc_notebook.model import Job, Workflow
from cc_notebook.state import Event, RunState
job = Job(name="a", exec="true", args=("{n}",), foreach={"n": "{params.n}"})
begin = time.perf_counter()
run = RunState(Workflow(params={"n": list(range(10_000))}, jobs={"a": job}))
run.feed(Event("grow", job="a", items=tuple(loops.items(run.flow, run.jobs, "a", lambda folder, pattern: []))))
plan = control.Plan(run.flow, run.jobs)
assert len(plan.queue("a[n=0]")) == 10_000
print(time.perf_counter() - begin)
"""


def notebooks(tools: Tools, scale: Scale) -> list[Row]:
    """Trivial notebooks, whole processes: ours and `jupyter execute` two at a time, papermill one after another."""
    folder = graphs.folder(tools.work / "notebooks", {})
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(1 + 1)")])
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    names = [f"n{number}.ipynb" for number in range(NOTEBOOKS)]
    for name in names:
        nbformat.write(made, folder / name)
    nodes = {name.removesuffix(".ipynb"): {"script": name} for name in names}
    (folder / "w.yaml").write_text(json.dumps({"workflow": {"nodes": nodes}}), encoding="utf-8")
    python, listed = sys.executable, " ".join(names)
    papermill = f"for n in {listed}; do {python} -m papermill -k python3 $n out.ipynb || exit 1; done"
    execute = f"echo {listed} | xargs -n 1 -P 2 {python} -m jupyter execute"
    ours = [*cli(), "run", "w.yaml", "--new", "--max-parallel", "2"]
    seconds = _rounds(
        scale.rounds,
        {
            "ours": lambda: timed(ours, folder, our_environment(tools)),
            "papermill": lambda: timed(["sh", "-c", papermill], folder),
            "jupyter execute": lambda: timed(["sh", "-c", execute], folder),
        },
    )
    return _against(f"{NOTEBOOKS} trivial notebooks", seconds, {"papermill": 0.4, "jupyter execute": 1.0})


def showing(tools: Tools, scale: Scale) -> list[Row]:
    """Labels and pictures, in fresh interpreters without their imports."""
    env = our_environment(tools)
    found = [float(text_of([sys.executable, "-c", LABELS], tools.work, env)) for _ in range(scale.rounds)]
    file = graphs.workflow(graphs.folder(tools.work / "picture", {}), graphs.layers(30, 10))
    drawn = []
    for number in range(scale.rounds):
        fresh = {**env, "CC_HOME": str(tools.work / f"pictures{number}")}
        drawn.append(
            [float(part) for part in text_of([sys.executable, "-c", PICTURE, file], file.parent, fresh).split()]
        )
    return [
        limit("100 labels with times", median(found) * 1000, 5.0, "ms", 1),
        limit("picture of 300 jobs with 2,900 dependencies, first time", median(d[0] for d in drawn), 1.0, "s", 2),
        limit("the same after a change of state", median(d[1] for d in drawn) * 1000, 20.0, "ms", 1),
    ]


def loops(tools: Tools, scale: Scale) -> list[Row]:
    """A large sweep is expanded and planned; iterations of a repeat against the jobs of a chain."""
    env = our_environment(tools)
    found = [float(text_of([sys.executable, "-c", EXPAND], tools.work, env)) for _ in range(scale.rounds)]
    folder = graphs.folder(tools.work / "loops", {})
    many = {f"j{n}": {"exec": "true", **({"after": f"j{n - 1}"} if n else {})} for n in range(scale.chain)}
    for name, nodes in (("chain", many), ("repeat", {"r": {"exec": "true", "repeat": scale.chain}})):
        (folder / f"{name}.yaml").write_text(json.dumps({"workflow": {"nodes": nodes}}), encoding="utf-8")
    words = [*cli(), "run", "--new", "--json"]
    seconds = _rounds(
        scale.rounds,
        {
            "ours": lambda: timed([*words, "repeat.yaml"], folder, env),
            "a chain": lambda: timed([*words, "chain.yaml"], folder, env),
        },
    )
    work = f"a job repeated {scale.chain} times, whole process"
    return [
        limit("foreach of 10,000: decided, expanded, planned", median(found), 3.0, "s", 2),
        *_against(work, seconds, {"a chain": 1.2}),
    ]
