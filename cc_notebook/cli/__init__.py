"""The command line `jupyter cc`: `group` holds what the commands share, each other module the commands of one idea.

Exit codes: 0 all done, 1 a job failed, 2 bad input, 3 cancelled, 4 the run has no engine any more (resume it),
130 stopped watching with Ctrl-C (the run goes on).
"""

from cc_notebook.cli import hosts, runs, service, tools, workflow
from cc_notebook.cli.group import main

__all__ = ["hosts", "main", "runs", "service", "tools", "workflow"]
