"""Runs one notebook: `python notebook.py NOTEBOOK`, the payload of a notebook job.

This file is copied beside every run, so a machine that runs notebooks needs papermill and ipykernel, nothing of ours.
What to do stands in the attempt's `spec.json`: params, kernel, cell_timeout (seconds), kernel_python (words that start
the Python of a venv). It leaves beside it `notebook.ipynb`, the executed copy, and after a failure `error.json`: cell,
cells, name, message, source, traceback. Cells are counted from 1 over the code cells of the notebook as written.
"""

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from difflib import get_close_matches
from typing import Any

for _name in ("rfc3987_syntax", "pyarrow"):  # a second to import, for formats and file systems that are not used here
    sys.modules[_name] = None  # type: ignore[assignment]  # makes the import fail, as if it were not installed
try:
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import execute_notebook, inspect_notebook
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.exceptions import PapermillExecutionError
except ImportError as error:
    sys.exit(f"{error}: install what notebooks need with\n  {sys.executable} -m pip install papermill ipykernel")

SCRAP = "application/scrapbook.scrap.json+json"
MOST = 20_000  # characters of a source or traceback that are kept


class Stopped(BaseException):
    """TERM was received: the job was cancelled, or its time is over."""


class Kernels(KernelSpecManager):
    """Finds kernels; where `python` (words that start an environment's interpreter) is given, that runs the kernel."""

    python: tuple[str, ...] = ()

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """See KernelSpecManager; an environment needs ipykernel but no kernelspec of its own."""
        argv = [*self.python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = KernelSpec(argv=argv, language="python") if self.python else super().get_kernel_spec(kernel_name)
        if "ipykernel_launcher" in spec.argv:
            spec.argv = [*spec.argv, "--log-level=40"]  # else each log begins with a warning about its sockets
        return spec


class Client(PapermillNotebookClient):
    """Executes the cells and reports each that is done, what cells print, and the scraps that they glue."""

    at = {"cell": 0, "cells": 0, "source": ""}  # where the notebook is
    kernel: Any = None  # what manages its kernel

    def __init__(self, nb_man: Any, **options: Any) -> None:
        super().__init__(nb_man, **options)
        code = (
            i
            for i, cell in enumerate(self.nb.cells)
            if cell.cell_type == "code" and not _tag(cell, "injected-parameters")
        )
        self.numbers = {index: number for number, index in enumerate(code, 1)}
        self.on_cell_start, self.on_cell_executed = self._begin, self._report
        self.at["cells"] = len(self.numbers)

    def _begin(self, cell: Any, cell_index: int) -> None:
        self.at.update(cell=self.numbers.get(cell_index, 0), source=cell.source)

    def _report(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        if not (number := self.numbers.get(cell_index)):
            return
        total = len(self.numbers)
        print(f"# cloudmesh status=running progress={1 + 98 * number // total} step={number}/{total}", flush=True)

    def process_message(self, *arguments: Any, **options: Any) -> Any:
        """See PapermillNotebookClient; a scrap becomes an output of the job."""
        output = super().process_message(*arguments, **options)
        if output and SCRAP in output.get("data", {}):
            scrap = output["data"][SCRAP]
            text = json.dumps(scrap["data"], separators=(",", ":")).replace(" ", "\\u0020")
            print(f"# cloudmesh status=running {scrap['name']}={text}", flush=True)
        return output


class Engine(NBClientEngine):
    """papermill's engine with our client; what it saves names no folder of this machine and holds no widgets."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        """See NBClientEngine."""
        about = nb_man.nb.metadata.papermill
        about.update({key: os.path.basename(about[key]) for key in ("input_path", "output_path")})
        limit, streams = options["execution_timeout"], {"stdout_file": sys.stdout, "stderr_file": sys.stderr}
        client = Client(nb_man, kernel_name=kernel_name, timeout=limit, store_widget_state=False, **streams)
        Client.kernel = client.create_kernel_manager()
        Client.kernel.kernel_spec_manager = Kernels()
        return client.execute()


def _tag(cell: Any, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def check_params(path: str, params: dict[str, Any]) -> None:
    """Raises ValueError for a param that the cell tagged `parameters` does not have, or that is of another type."""
    known = inspect_notebook(path) if params else {}
    for name, value in params.items():
        if name not in known:
            near = get_close_matches(name, known, 1)
            there = f"it has {', '.join(known)}" if known else "no cell is tagged 'parameters'"
            hint = f"did you mean '{near[0]}'?" if near else there
            raise ValueError(f"the notebook has no param '{name}'; {hint}")
        try:
            default = ast.literal_eval(known[name]["default"])
        except (ValueError, SyntaxError):
            continue  # an expression: its type is not known here
        wider = isinstance(default, float) and type(value) is int
        if default is not None and value is not None and type(value) is not type(default) and not wider:
            raise ValueError(f"param '{name}' is {value!r}, but the notebook's own is {default!r}: another type")


def explain(error: BaseException) -> dict[str, Any]:
    """What went wrong, as the fields of `error.json`."""
    told = {**Client.at, "name": type(error).__name__, "message": str(error)}
    if isinstance(error, PapermillExecutionError):
        told |= {"name": error.ename, "message": error.evalue, "traceback": "\n".join(error.traceback)}
    elif isinstance(error, DeadKernelError):
        code = getattr(Client.kernel.provisioner.process, "returncode", None)
        how = "was killed by signal 9, perhaps for want of memory" if code == -9 else f"died (exit code {code})"
        told |= {"name": "DeadKernel", "message": f"the kernel {how}"}
    elif isinstance(error, CellTimeoutError):
        told |= {"name": "CellTimeout", "message": "the cell took longer than cell_timeout allows"}
    elif isinstance(error, NoSuchKernel):
        there = ", ".join(sorted(Kernels().find_kernel_specs()))
        told |= {"message": f"there is no kernel '{error.name}' here; there is: {there or 'none'}"}
    return {key: value[:MOST] if isinstance(value, str) else value for key, value in told.items()}


def run(path: str, result: str, spec: dict[str, Any]) -> None:
    """Check the params, execute a copy, and see that every cell was executed."""
    first, rest = spec["kernel_python"][:1], spec["kernel_python"][1:]
    Kernels.python = (*(shutil.which(word) or word for word in first), *rest)  # "python" alone would be taken for ours
    if Kernels.python and subprocess.run([*Kernels.python, "-c", "import ipykernel"], capture_output=True).returncode:
        raise ValueError(
            f"'{' '.join(Kernels.python)}' has no ipykernel: run pip install ipykernel in that environment"
        )
    path, result = (text.replace("{", "{{").replace("}", "}}") for text in (path, result))  # papermill's own braces
    check_params(path, spec["params"])
    papermill_engines.register("cc", Engine)
    options = {"engine_name": "cc", "kernel_name": spec["kernel"], "execution_timeout": spec["cell_timeout"]}
    done = execute_notebook(path, result, spec["params"], progress_bar=False, **options)
    code = [cell for cell in done.cells if cell.cell_type == "code" and not _tag(cell, "skip-execution")]
    if left := [cell for cell in code if cell.source.strip() and cell.execution_count is None]:
        raise RuntimeError(f"{len(left)} cells were not executed: one before them ended the notebook by sys.exit")


def main(path: str) -> int:
    """Run the notebook; the exit code is 0 only if every cell was executed."""

    def stop(number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Stopped

    signal.signal(signal.SIGTERM, stop)
    folder, results = os.environ["CC_JOB_DIR"], os.environ.get("CC_RESULTS_DIR")
    with open(f"{folder}/spec.json", encoding="utf-8") as file:
        spec = json.load(file)
    code = 0
    try:
        run(path, f"{folder}/notebook.ipynb", spec)
    except (Exception, Stopped) as error:  # whatever it is, it is told as a failure of the notebook
        told, code = explain(error), 1
        with open(f"{folder}/error.part", "w", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")
        os.replace(f"{folder}/error.part", f"{folder}/error.json")
        print(
            f"cell {told['cell']}: {told['name']}: {told['message']}", told.get("traceback", ""), sep="\n", flush=True
        )
    if results and os.path.exists(f"{folder}/notebook.ipynb"):
        shutil.copyfile(f"{folder}/notebook.ipynb", f"{results}/{spec['job'].replace('/', '_')}.ipynb")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
