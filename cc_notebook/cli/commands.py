"""All commands together: each module adds its own to the group."""

from cc_notebook.cli import hosts, runs, service, tools, workflow
from cc_notebook.cli.group import main

__all__ = ["hosts", "main", "runs", "service", "tools", "workflow"]
