"""Runs one notebook: `python notebook.py NOTEBOOK`, the payload of a notebook job.

This file is copied beside every run, so a machine that runs notebooks needs papermill and ipykernel, nothing of ours.
What to do stands in the attempt's `spec.json`: params, item (a loop's values), kernel, cell_timeout (seconds),
kernel_python (words that start the Python of a venv), kernel_gateway (a URL, see gateway.py). It leaves beside it
`notebook.ipynb`, the executed copy, and after a failure `error.json`: cell,
cells, name, message, source, traceback. Cells are counted from 1 over the code cells of the notebook as written.
"""

import ast
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from typing import Any

# A second to import, for formats and file systems that are not used here: as if they were not installed.
_skipped: dict[str, Any] = {"rfc3987_syntax": None, "pyarrow": None}
sys.modules.update(_skipped)
try:
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import execute_notebook
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.exceptions import PapermillExecutionError
except ImportError as error:
    sys.exit(f"{error}: install what notebooks need with\n  {sys.executable} -m pip install papermill ipykernel")

SCRAPS = ("application/scrapbook.scrap.json+json", "application/scrapbook.scrap.text+json")
# ipykernel 7 hangs now and then when it is told to end: its main thread closes what its control thread still writes to.
# So the main thread waits for the other's end first (jupyter_client begins with an interrupt, which must not hurry it).
# Its last answer finds a socket that is closed then, which is nobody's concern: it is not logged.
IN_ORDER = """import logging, signal, threading
signal.signal(signal.SIGINT, signal.SIG_IGN)
[thread.join(5) for thread in threading.enumerate() if thread.name == "Control"]
logging.disable()"""
HERE = os.path.dirname(os.path.abspath(__file__))
OURS = [["python", "-m"], ["python3", "-m"], [sys.executable, "-m"]]  # how a kernelspec names our own interpreter
MOST = 20_000  # characters of a source or traceback that are kept


class Stopped(KeyboardInterrupt):  # of all exceptions that come in the middle of an event loop, only this leaves it
    """TERM was received: the job was cancelled, or its time is over."""


class Kernels(KernelSpecManager):
    """Finds kernels; where `python` (words that start an environment's interpreter) is given, that runs the kernel."""

    python: tuple[str, ...] = ()
    gateway: Any = None  # what starts the kernel instead, if that is to run on another server: see gateway.py

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """See KernelSpecManager; an environment needs ipykernel but no kernelspec of its own."""
        argv = [*self.python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = KernelSpec(argv=argv, language="python") if self.python else super().get_kernel_spec(kernel_name)
        if "ipykernel_launcher" in spec.argv:
            spec.argv = [*spec.argv, "--log-level=40"]  # else each log begins with a warning about its sockets
            if spec.argv[:2] in OURS and os.path.exists(f"{HERE}/warm.ipykernel_launcher"):
                spec.argv = [sys.executable, f"{HERE}/warm.py", *spec.argv[2:]]  # forked, not started anew
        return spec


class Client(PapermillNotebookClient):
    """Executes the cells and reports each that is done, what cells print, and the scraps that they glue."""

    at = {"cell": 0, "cells": 0, "source": ""}  # where the notebook is
    kernel: Any = None  # what manages its kernel
    numbers: dict[int, int] = {}  # index of a cell → its number
    begins = ""  # what ends a line that a cell left open

    def __init__(self, nb_man: Any, **options: Any) -> None:
        super().__init__(nb_man, **options)
        cells = [i for i, c in enumerate(self.nb.cells) if c.cell_type == "code" and not _tag(c, "injected-parameters")]
        Client.numbers = {index: number for number, index in enumerate(cells, 1)}
        self.on_cell_start, self.on_cell_executed = self._begin, self._report
        self.at["cells"] = len(cells)

    def _begin(self, cell: Any, cell_index: int) -> None:
        self.at.update(cell=self.numbers.get(cell_index, 0), source=cell.source)

    def _report(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        if number := self.numbers.get(cell_index):
            total = len(self.numbers)
            self.say(f"progress={1 + 98 * number // total} step={number}/{total}")

    def process_message(self, *arguments: Any, **options: Any) -> Any:
        """See PapermillNotebookClient; a scrap becomes an output of the job."""
        output = super().process_message(*arguments, **options)
        if output and output.output_type == "stream":
            self.begins = "" if output.text.endswith("\n") else "\n"
        for scrap in (output["data"][kind] for kind in SCRAPS if output and kind in output.get("data", {})):
            text = json.dumps(scrap["data"], separators=(",", ":")).replace(" ", "\\u0020")
            self.say(f"{''.join(str(scrap['name']).split())}={text}")
        return output

    def set_widgets_metadata(self) -> None:
        """Called last of all; what it is called for, the state of widgets, is not kept."""
        if not Kernels.gateway and "ipykernel_launcher" in self.km.kernel_spec.argv:
            self.kc.execute(IN_ORDER, silent=True)

    def say(self, words: str) -> None:
        """Print a line of the protocol, which stands alone whatever the cell printed last."""
        print(f"{self.begins}# cloudmesh status=running {words}", flush=True)
        self.begins = ""


class Engine(NBClientEngine):
    """papermill's engine with our client; what it saves names no folder of this machine and holds no widgets."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        """See NBClientEngine."""
        about = nb_man.nb.metadata.papermill
        about.update({key: os.path.basename(about[key]) for key in ("input_path", "output_path")})
        limit, streams = options["execution_timeout"], {"stdout_file": sys.stdout, "stderr_file": sys.stderr}
        client = Client(nb_man, kernel_name=kernel_name, timeout=limit, store_widget_state=False, **streams)
        if Kernels.gateway:
            client.km, Kernels.gateway.kernel_name = Kernels.gateway, kernel_name
        else:
            manager = client.create_kernel_manager()
            manager.kernel_spec_manager = Kernels()
            if sys.platform == "linux" and "ipykernel_launcher" in manager.kernel_spec.argv:
                # a port that is chosen may be taken by another before the kernel has it: then both wait for ever
                manager.transport, manager.ip = "ipc", f"@{os.urandom(16).hex()}"
        Client.kernel = client.km
        return client.execute()


def _tag(cell: Any, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def parameters(path: str) -> dict[str, Any]:
    """What the cell tagged `parameters` assigns, by name; None for what is no plain value. Raises SyntaxError."""
    with open(path, encoding="utf-8") as file:
        cells = json.load(file).get("cells", [])
    tagged = (cell["source"] for cell in cells if "parameters" in cell["metadata"].get("tags", []))
    found: dict[str, Any] = {}
    for node in ast.parse("".join(next(tagged, ""))).body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            names = [part.id for part in ast.walk(node) if isinstance(part, ast.Name) and type(part.ctx) is ast.Store]
            found.update(dict.fromkeys(names))
            with suppress(ValueError, TypeError):
                found.update({name: ast.literal_eval(node.value or "None") for name in names[:1] if len(names) == 1})
    return found


def check_params(path: str, params: dict[str, Any]) -> None:
    """Raises ValueError for a param that the cell tagged `parameters` does not have, or that is of another type."""
    try:
        known = parameters(path) if params else {}
    except SyntaxError:
        return  # of another language: papermill puts them in, nobody checks them
    for name, value in params.items():
        if name not in known:
            near = get_close_matches(name, known, 1)
            there = f"it has {', '.join(known)}" if known else "no cell is tagged 'parameters'"
            hint = f"did you mean '{near[0]}'?" if near else there
            raise ValueError(f"the notebook has no param '{name}'; {hint}")
        kinds = [{int: float, tuple: list}.get(kind, kind) for kind in (type(known[name]), type(value))]
        if known[name] is not None and value is not None and kinds[0] is not kinds[1]:
            raise ValueError(f"param '{name}' is {value!r}, but the notebook's own is {known[name]!r}: another type")


def explain(error: BaseException) -> dict[str, Any]:
    """What went wrong, as the fields of `error.json`."""
    told: dict[str, Any] = {**Client.at, "name": type(error).__name__, "message": str(error)}
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    limit = "" if most == resource.RLIM_INFINITY else f" (the limit is {most / (1 << 30):.3g} GB)"
    want = f", perhaps for want of memory{limit}"
    if isinstance(error, PapermillExecutionError):
        told |= {"cell": Client.numbers.get(error.cell_index, 0), "source": error.source}
        told |= {"name": error.ename, "message": error.evalue, "traceback": "\n".join(error.traceback)}
    elif isinstance(error, DeadKernelError) and Kernels.gateway:
        told |= {"name": "DeadKernel", "message": f"the kernel {Kernels.gateway.fate}"}
    elif isinstance(error, DeadKernelError):
        code = getattr(Client.kernel.provisioner.process, "returncode", None) or 0
        killed = f"was killed by signal {-code}{want if limit or code == -signal.SIGKILL else ''}"
        told |= {"name": "DeadKernel", "message": f"the kernel {killed if code < 0 else f'died (exit code {code})'}"}
    elif isinstance(error, CellTimeoutError):
        told |= {"name": "CellTimeout", "message": "the cell took longer than cell_timeout allows"}
    elif isinstance(error, NoSuchKernel):
        told["message"] = f"there is no kernel '{error.name}' here but {', '.join(Kernels().find_kernel_specs())}"
    elif limit and not told["cell"] and isinstance(error, RuntimeError):
        told["message"] += want  # the kernel did not begin
    starved = told["name"] == "MemoryError"
    told["message"] = (told["message"] or ("out of memory" if starved else "it says no more")) + limit * starved
    return {key: value[:MOST] if isinstance(value, str) else value for key, value in told.items()}


def run(path: str, result: str, spec: dict[str, Any]) -> None:
    """Check the params, execute a copy, and see that every cell was executed."""
    first, rest = spec["kernel_python"][:1], spec["kernel_python"][1:]
    Kernels.python = (*(shutil.which(word) or word for word in first), *rest)  # "python" alone would be taken for ours
    if Kernels.python and subprocess.run([*Kernels.python, "-c", "import ipykernel"], capture_output=True).returncode:
        raise ValueError(f"'{' '.join(Kernels.python)}' has no ipykernel: pip install ipykernel there")
    known = parameters(path) if spec["item"] else {}  # a loop's values set the params of their names
    spec["params"] = {key: value for key, value in spec["item"].items() if key in known} | spec["params"]
    check_params(path, spec["params"])
    path, result = (text.replace("{", "{{").replace("}", "}}") for text in (path, result))  # papermill's own braces
    papermill_engines.register("cc", Engine)
    options = {"engine_name": "cc", "kernel_name": spec["kernel"], "execution_timeout": spec["cell_timeout"]}
    if spec["kernel_gateway"]:
        Kernels.gateway = import_module("gateway").Kernel(spec["kernel_gateway"])
        options["language"] = Kernels.gateway.language(spec["kernel"])
    elif spec["kernel"]:  # also for a notebook that does not say in which language it is
        options["language"] = Kernels().get_kernel_spec(spec["kernel"]).language
    done = execute_notebook(path, result, spec["params"], progress_bar=False, **options)
    code = [cell for cell in done.cells if cell.cell_type == "code" and not _tag(cell, "skip-execution")]
    if left := [cell for cell in code if cell.source.strip() and cell.execution_count is None]:
        raise RuntimeError(f"not executed: {len(left)} of {len(code)} cells: one before ended it by sys.exit")


def main(path: str) -> int:
    """Run the notebook; the exit code is 0 only if every cell was executed."""

    def stop(number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Stopped

    signal.signal(signal.SIGTERM, stop)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")  # a cell may print anything
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
        where = f"cell {told['cell']}: " if told["cell"] else ""
        print(f"{where}{told['name']}: {told['message']}", told.get("traceback", ""), sep="\n", flush=True)
    if Kernels.gateway:
        Kernels.gateway.leave()
    with suppress(OSError):  # where it cannot be shown it still is in the attempt's folder
        shutil.copyfile(f"{folder}/notebook.ipynb", f"{results}/{spec['shown']}.ipynb")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
