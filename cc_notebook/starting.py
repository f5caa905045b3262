"""From a workflow as it is written to a run that has started: what of it runs, what is taken over, and in which run."""

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cc_notebook import functions, hosts, launching, reuse, runs, store
from cc_notebook.model import RunSpec
from cc_notebook.options import in_order, select, with_done, with_params
from cc_notebook.runs import Run

if TYPE_CHECKING:
    from cc_notebook.workflow import Workflow


@dataclass(frozen=True)
class Wish:
    """What is asked of one run beside its params: the arguments of `Workflow.run`, which tells their meaning."""

    max_parallel: int | None
    sequential: bool
    order: Sequence[str]
    from_: str | None
    only: str | Sequence[str] | None
    new: bool
    reuse: bool
    run_id: str


def start(flow: "Workflow", params: Mapping[str, Any], wish: Wish) -> Run:
    """Start a run of the workflow, or attach to an unfinished one of the same work. Raises InputError."""
    wanted = _wanted(flow, params, wish)
    with store.alone("start"):
        known = [] if wish.new else runs.unfinished(reversed(runs.all_runs(flow.name)))
        run = next((run for run in known if run.spec.source == wanted.source), None) or runs.create(wanted)
    if run.id != wanted.run:
        print(f"attached to the unfinished run {run.id} (new=True, or --new, starts another)", file=sys.stderr)
    return run.resume()


def _wanted(flow: "Workflow", params: Mapping[str, Any], wish: Wish) -> RunSpec:
    """All that the run is to execute, and the hash by which a second start finds the same work."""
    value = whole = with_params(flow.model(), params)
    for key, argument in flow.arguments.items():
        functions.check(argument, value.params[key])
    value = select(value, wish.from_, [wish.only] if isinstance(wish.only, str) else wish.only)
    value = in_order(value, wish.order) if wish.sequential or wish.order else value
    folder, own = str(flow.folder), flow.taken
    launching.scheduler(value.scheduler, folder)
    earlier = list(flow.runs()) if wish.reuse or wish.from_ or wish.only else []
    value, taken = with_done(value, whole, lambda name: own.get(name, reuse.outputs(earlier, name)))
    taken |= {name: outputs for name, outputs in own.items() if name in value.jobs}
    same = f"{folder}\0{value.model_dump_json()}\0{wish.order}{taken or ''}"
    python = Path(sys.executable).with_name("python{}.{}".format(*sys.version_info))  # by whatever name we began
    return RunSpec(
        run=wish.run_id or store.new_id(flow.name),
        workflow=hosts.supported(value),
        path=str(flow.filename or ""),
        folder=folder,
        source=hashlib.sha256(same.encode()).hexdigest(),
        order=tuple(wish.order),
        taken=taken,
        reuse=tuple(run.id for run in earlier) if wish.reuse else (),
        max_parallel=wish.max_parallel,
        machine=store.machine_id(),
        python=str(python if python.exists() else sys.executable),
        created=store.now(),
    )
