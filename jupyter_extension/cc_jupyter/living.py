"""What the extension does by itself as long as its server lives: it resumes runs, and keeps the server while one works.

It looks in threads, and no error in it ends the server. It decides nothing about a run: each has its own engine.
"""

import asyncio
import gc
from datetime import UTC, datetime
from functools import partial
from logging import Logger
from typing import Any

from cc_jupyter.following import in_thread
from cc_notebook import runs, store
from cc_notebook.errors import CCError

PERIOD = 10.0  # seconds between two looks


def resume(log: Logger) -> None:
    """Go on with each run of this computer that has lost its engine, unless it is paused or its engines only die."""
    for run in runs.unfinished(runs.all_runs()):
        try:
            here = run.spec.machine == store.machine_id() and not run.refresh().paused and not run.engine_alive()
            if here and [event.type for event in run.events()][-3:] != ["engine"] * 3:
                log.info("resuming the run %s", run.resume().id)
        except (CCError, OSError) as error:
            log.warning("the run %s cannot be resumed: %s", run.id, error)


def works() -> bool:
    """True if a run on this computer has something to do."""
    views = [run.refresh() for run in runs.all_runs() if run.engine_alive()]
    return any(not view.paused or view.counts().keys() & {"submitted", "running"} for view in views)


async def live(settings: dict[str, Any], log: Logger) -> None:
    """Resume what may be resumed, then mark activity again and again while a run works, and not longer."""
    work: Any = partial(resume, log)
    gc.freeze()  # what is loaded stays: each look for garbage among it held up every answer for a tenth of a second
    while True:
        try:
            if await in_thread(work):
                settings["last_activity_times"]["cc_jupyter"] = datetime.now(UTC)
        except (CCError, OSError) as error:
            log.warning("the runs of this computer cannot be seen: %s", error)
        work = works
        await asyncio.sleep(PERIOD)
