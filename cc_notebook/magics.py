"""`%cc` is the command line in a cell; `%%cc job NAME` makes the cell a job of the notebook's workflow."""

import ast
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from IPython.core.error import UsageError

from cc_notebook import functions
from cc_notebook.cli.commands import main
from cc_notebook.cli.workflow import attribute
from cc_notebook.errors import CCError, InputError, nearest
from cc_notebook.fields import check_name
from cc_notebook.workflow import Workflow

MARK = "# Written by cc-notebook from a cell (%%cc job): change it there.\n"
LIMIT = 10  # seconds for the shell to read a script


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext cc_notebook`: give the magics to an IPython shell."""

    def cc(line: str, cell: str | None = None) -> None:
        words = shlex.split(line)
        try:
            if cell is None:
                with suppress(SystemExit):  # its exit code; what is wrong has been told
                    main(words, prog_name="jupyter cc")
            elif words[:1] == ["job"]:
                _job(words[1:], prog_name="%%cc job", standalone_mode=False, obj=(shell.user_ns, cell))
            else:
                raise InputError("write %%cc job NAME, and the job below it; a single line is %cc COMMAND")
        except (CCError, ValueError, click.ClickException) as error:
            told = error.format_message() if isinstance(error, click.ClickException) else str(error)
            raise UsageError(told) from None

    shell.register_magic_function(cc, "line_cell", "cc")


@click.command()
@click.argument("name")
@click.option("--after", multiple=True, help="The jobs before it, with commas between them.")
@click.option("--with", "names", default="", help="Variables of the notebook that it gets, as JSON: x,y.")
@click.option("--bash", is_flag=True, help="The cell is a script for bash; else it is Python.")
@click.argument("args", nargs=-1, metavar="[ATTRIBUTE=VALUE]...")
@click.pass_obj
def _job(given: Any, name: str, after: Sequence[str], names: str, bash: bool, args: Sequence[str]) -> None:
    """Make the cell a script beside the notebook and a job of its workflow; run again, it replaces both.

    It sees no variable of the kernel but those that are named.
    """
    variables, cell = given
    script = f"{check_name(name)}.{'sh' if bash else 'py'}"
    head = _values(variables, [key.strip() for key in names.split(",") if key.strip()], bash)
    if bash:
        words = [shutil.which("bash") or "sh", "-n"]
        checked = subprocess.run(words, input=cell, capture_output=True, text=True, timeout=LIMIT)
        if checked.returncode:
            raise InputError(f"{script}: {checked.stderr.strip()}")
    else:
        futures = [node for node in ast.parse(cell, script).body if getattr(node, "module", "") == "__future__"]
        lines, at = cell.split("\n"), futures[-1].end_lineno if futures else 0  # these must stand before all else
        head, cell = "", "\n".join([*lines[:at], head + "\n".join(lines[at:])])
        compile(cell, script, "exec", dont_inherit=True)
    functions.put(Path(script), MARK, ("#!/usr/bin/env bash\n" if bash else "") + MARK + head + cell)
    flow = of_notebook(variables)
    flow.add_job(name, script, **dict(map(attribute, args)), **({"after": ", ".join(after)} if after else {}))
    flow.model()
    path = flow.save()
    print(f"job {name} is {script}, in {path.name} (jobs: {len(flow.nodes)}); run: %cc run {shlex.quote(path.name)}")


def of_notebook(variables: dict[str, Any]) -> Workflow:
    """The workflow of the notebook: `<its name>.yaml` beside it."""
    notebook = variables.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME") or "notebook"
    path = Path(f"{Path(notebook).stem}.yaml")
    return Workflow(filename=path) if path.exists() else Workflow(path.stem, path)


def _values(variables: dict[str, Any], names: Sequence[str], bash: bool) -> str:
    """The lines that give a script the values of variables."""
    for name in names:
        nearest(name, [key for key in variables if not key.startswith("_")], "the notebook has no variable")
    try:
        texts = {name: json.dumps(variables[name]) for name in names}
    except TypeError as error:
        raise InputError(f"--with {','.join(names)}: {error}; give numbers, texts, lists or dicts") from None
    if bash:
        return "".join(f"{name}={shlex.quote(text)}\n" for name, text in texts.items())
    lines = [f"{name} = json.loads({text!r})\n" for name, text in texts.items()]
    return "".join(["import json\n", *lines] if lines else [])
