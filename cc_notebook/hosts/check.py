"""What works on another machine, one line each, and the next step where something does not."""

import shlex
import shutil
from collections.abc import Iterator
from typing import NamedTuple

from cc_notebook import payload
from cc_notebook.errors import UnavailableError
from cc_notebook.hosts.answer import trouble
from cc_notebook.hosts.transport import Result, Transport, there
from cc_notebook.model import Host, Job

TIMEOUT = 30.0  # seconds
SCRIPT = """
cd; echo "shell $(uname -sm), $(hostname)"
mkdir -p {workdir} 2> /dev/null; [ -w {workdir} ] && echo workdir {workdir}
df -Pk {workdir} 2> /dev/null | awk 'NR == 2 && $4 >= 102400 {{ print "space", int($4 / 1024), "MB free" }}'
command -v sbatch > /dev/null && echo queue Slurm || command -v bsub > /dev/null && echo queue LSF
cd {folder}; CC_WORKFLOW_DIR=$PWD sh -c {inside} < /dev/null; echo end"""
# What a job finds. Where this ends early, the host's setup has ended it.
INSIDE = """{around} >&2; echo setup ran
v=$({python} --version 2>&1); case $v in "Python 3"*) printf "venv %s\\npython %s\\n" {venv} "$v" ;; esac
{own} -c 'import papermill, ipykernel; print("papermill", papermill.__version__)' 2> /dev/null"""
LINES = {  # what the script says of what works: whether all jobs need that, and the next step where it does not
    "shell": (True, "it has no POSIX sh"),
    "workdir": (True, "{0.workdir}: cannot be written; set 'workdir:' of this host"),
    "space": (True, "less than 100 MB free in {0.workdir}: make room there, or set 'workdir:' of this host"),
    "queue": (False, "none: jobs run directly"),
    "setup": (True, "mend 'setup:' of this host; what it said last: {errors}"),
    "venv": (True, "{0.venv} has no python: make it there, or set 'venv:' to a whole path, or a name that conda knows"),
    "python": (False, "{own} is not there: set 'python:' of this host"),
    "papermill": (False, "for notebooks: {login} {own} -m pip install papermill ipykernel"),
}


class Found(NamedTuple):
    """One thing that was looked at; `needed` is false for what only some jobs want."""

    what: str
    works: bool
    told: str
    needed: bool = True


def check(line: Transport, name: str, host: Host, folder: str) -> Iterator[Found]:
    """Look at a machine by one script, and for the programs that open the way to it beside a workflow in `folder`."""
    for which in ("before", "after"):
        for word in map(str, getattr(host, which)[:1]):
            path = shutil.which(f"{folder}/{word}") or shutil.which(word)
            missing = f"{word} is no program in {folder} or on your PATH: see chmod +x"
            yield Found(which, bool(path), f"{path}; a check does not run it" if path else missing)
    shell = f"wsl.exe -d {name}" if host.transport == "wsl" else f"ssh {name}"
    try:
        answer = line.run(_script(host, folder), TIMEOUT)
        why = "" if answer.out.split()[-1:] == ["end"] else trouble(answer.code, answer.err)
    except UnavailableError as error:
        answer, why = Result(1, "", ""), str(error)
    reached = not why or any(sign in why for sign in ("its key", "host key", "your key"))  # ours
    hint = f"{why}; try: {shell}{', once before has run' * bool(host.before)}"
    yield Found("reach", reached, f"answers, by {host.transport}" if reached else hint)
    if reached and host.transport != "wsl":
        yield Found("key", not why, why or "known here, and yours is accepted there")
    yield from () if why else _inside(answer, host, shell)


def _inside(answer: Result, host: Host, shell: str) -> Iterator[Found]:
    told = dict(text.split(" ", 1) for text in answer.out.splitlines() if " " in text)
    own = f"{host.venv}/bin/{host.python}" if "/" in (host.venv or "") and "/" not in host.python else host.python
    for what, (needed, hint) in LINES.items():
        if getattr(host, what, True):
            hint = hint.format(host, own=own, login=shell, errors="; ".join(answer.err.splitlines()[-2:]))
            yield Found(what, what in told, told.get(what, hint), needed)
        if what == "setup" and what not in told:
            return


def _script(host: Host, folder: str) -> str:
    """Its second half runs as a job would: after `setup`, in the host's environment."""
    own, venv, work = shlex.quote(host.python), shlex.quote(host.venv or ""), there(host.workdir)
    around = payload.Surroundings("", "", host.python, venv_is_folder="/" in venv)
    lines = ["{", payload.SETUP.format(host.setup or ":"), *payload.activation(Job(venv=host.venv), around), "}"]
    conda = f'"${{CONDA_EXE:-conda}}" {shlex.join(payload.CONDA_RUN)} {venv} python'
    python = '"$VIRTUAL_ENV"/bin/python' if "/" in venv else conda if host.venv else own
    inside = shlex.quote(INSIDE.format(around="\n".join(lines), venv=venv, python=python, own=own))
    return SCRIPT.format(workdir=work, folder=shlex.quote(folder) if host.shared else work, inside=inside)
