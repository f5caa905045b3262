"""The command line `jupyter cc`: `group` holds what the commands share, each other module the commands of one idea.

Exit codes: 0 all done, 1 a job failed, 2 bad input, 3 cancelled, 4 the run has no engine any more (resume it),
130 stopped watching with Ctrl-C (the run goes on).
"""

import gc
import sys

from cc_notebook import process


def main() -> None:
    """Do what the command line says. For `run` an engine begins to load first, so that it is there when needed."""
    gc.set_threshold(100_000)  # to look for garbage among what was just read takes a fifth of the reading's time
    if sys.argv[1:2] == ["run"] and "--dry-run" not in sys.argv:
        process.ahead()
    from cc_notebook.cli import commands

    commands.main()
