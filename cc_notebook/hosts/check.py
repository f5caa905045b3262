"""What works on another machine, one line each, and the next step where something does not."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from cc_notebook.errors import UnavailableError
from cc_notebook.hosts.answer import trouble
from cc_notebook.hosts.transport import Transport, there
from cc_notebook.model import Host

TIMEOUT = 30.0  # seconds
SCRIPT = """
cd; echo "shell $(uname -sm), $(hostname)"
mkdir -p {workdir} 2> /dev/null; [ -w {workdir} ] && echo "workdir yes" || echo "workdir no"
echo "space $(df -Pk {workdir} 2> /dev/null | awk 'NR == 2 {{ print int($4 / 1024) }}')"
echo "python $({python} --version 2>&1 | head -n 1)"
{python} -c 'import papermill, ipykernel; print("papermill", papermill.__version__)' 2> /dev/null || echo papermill no
for q in sbatch bsub; do command -v $q > /dev/null && echo "$q yes"; done
echo end
"""
LEAST = 100  # megabytes of free space


@dataclass(frozen=True)
class Found:
    """One thing that was looked at; `needed` is false for what only some jobs want."""

    what: str
    works: bool
    told: str
    needed: bool = True


def check(line: Transport, name: str, host: Host) -> Iterator[Found]:
    """Look at a machine by one script."""
    words = {"workdir": there(host.workdir), "python": shlex.quote(host.python)}
    shell = f"wsl.exe -d {name}" if host.transport == "wsl" else f"ssh {name}"
    try:
        answer = line.run(SCRIPT.format(**words), TIMEOUT)
    except UnavailableError as error:
        yield Found("reach", False, f"{error}; try: {shell}")
        return
    told = dict(text.split(" ", 1) for text in answer.out.splitlines() if " " in text)
    if answer.out.split()[-1:] != ["end"]:
        yield Found("reach", False, f"{trouble(answer.code, answer.err)}; try: {shell}")
        return
    yield Found("reach", True, f"answers, by {host.transport}")
    yield Found("shell", "shell" in told, told.get("shell", ""))
    made = told.get("workdir") == "yes"
    yield Found("workdir", made, host.workdir + ("" if made else ": cannot be written; set 'workdir:' of this host"))
    space = int(told.get("space") or 0)
    yield Found("space", space >= LEAST, f"{space:,} MB free in {host.workdir}")
    python = told.get("python", "")
    found = python.startswith("Python 3")
    yield Found("python", found, python if found else f"{host.python} is not there: set 'python:' of this host", False)
    papermill = told.get("papermill", "no")
    hint = f"for notebooks: {shell} {host.python} -m pip install papermill ipykernel"
    yield Found("papermill", papermill != "no", papermill if papermill != "no" else hint, False)
    queues = [queue for queue, command in (("Slurm", "sbatch"), ("LSF", "bsub")) if command in told]
    yield Found("queue", bool(queues), ", ".join(queues) or "none: jobs run directly", False)
