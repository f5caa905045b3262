"""Notebook jobs: a real papermill and real kernels; what they report, how they fail, that nothing of them is left."""

import csv
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import psutil
import pytest
from conftest import ended, kill_engine, until, write
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sshd import sshd
from test_house import examples

from cc_notebook import Workflow

PARAMS = "size = 1\nname = 'a'\nrate = 0.5"


def notebook(folder, name, *sources, tagged=False):
    """A notebook with these code cells, a text before them; the first is tagged `parameters` if asked for."""
    cells = [new_markdown_cell("# a text"), *map(new_code_cell, sources)]
    if tagged:
        cells[1].metadata["tags"] = ["parameters"]
    made = new_notebook(cells=cells)
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    with open(folder / name, "w") as file:
        nbformat.write(made, file)


def workflow(**jobs):
    """A workflow of jobs by name."""
    flow = Workflow(name="w")
    for name, attributes in jobs.items():
        flow.add_job(name, **attributes)
    return flow


def test_params_progress_outputs_and_the_executed_copy(folder):
    """Params are typed, cells are counted, outputs come from progress() and scraps; the input stays as it was."""
    scrap = "application/scrapbook.scrap.json+json"
    notebook(
        folder,
        "n.ipynb",
        PARAMS,
        "from cc_notebook import progress\nline = progress(progress=50, double=size * 2, name=name)",
        f"from IPython.display import display\n"
        f"display({{{scrap!r}: {{'name': 'glued', 'data': [1, 'b c']}}}}, raw=True)",
        "import os\nprint('in', os.getcwd())",
        tagged=True,
    )
    before = (folder / "n.ipynb").read_bytes()
    flow = workflow(a={"script": "n.ipynb", "params": {"size": 21, "name": "x y", "rate": 2}})
    flow.add_job("b", script="n.ipynb", params={"size": "{a.double}"}, after="a")
    run = flow.run().wait(100)
    status = run.status("a")
    assert run.state == "done", run.status()
    assert status["outputs"] == {"double": 42, "name": "x y", "glued": [1, "b c"]} and status["step"] == "4/4"
    assert run.outputs("b")["double"] == 84
    steps = [event.step for event in run.events() if event.job == "a" and event.type in ("progress", "done")]
    assert steps[-1] == "4/4" and f"in {folder}" in run.log("a")
    assert (folder / "n.ipynb").read_bytes() == before
    copy = folder / "w-runs" / run.id / "a.ipynb"
    executed = nbformat.read(copy, 4)
    assert [cell.execution_count for cell in executed.cells if cell.cell_type == "code"] == [1, 2, 3, 4, 5]
    assert "widgets" not in executed.metadata and str(folder.parent) not in json.dumps(executed.metadata)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"sise": 1}, "no param 'sise'; did you mean 'size'?"),
        ({"size": "many"}, "param 'size' is 'many'"),
        ({"size": True}, "param 'size' is True"),
        ({"rate": "fast"}, "param 'rate' is 'fast'"),
    ],
)
def test_params_are_checked_against_the_tagged_cell(folder, params, words):
    """A param that the notebook does not have, or one of another type, is a clear failure before any cell runs."""
    notebook(folder, "n.ipynb", PARAMS, "open('ran', 'w')", tagged=True)
    run = workflow(a={"script": "n.ipynb", "params": params}).run().wait(60)
    assert run.state == "failed" and words in run.status("a")["reason"]
    assert not (folder / "ran").exists()


def test_params_without_a_tagged_cell(folder):
    """Where no cell is tagged, params are refused instead of being put somewhere."""
    notebook(folder, "n.ipynb", PARAMS)
    run = workflow(a={"script": "n.ipynb", "params": {"size": 2}}).run().wait(60)
    assert "no cell is tagged 'parameters'" in run.status("a")["reason"]


def test_failing_cell_is_told_everywhere(folder, cc):
    """Cell 28 of 36 fails: its number, source and traceback are in the status, the table, the log and the copy."""
    notebook(folder, "n.ipynb", *["1"] * 27, "zero = 0\n1 / zero", *["1"] * 8)
    before = (folder / "n.ipynb").read_bytes()
    run = workflow(a={"script": "n.ipynb"}).run().wait(60)
    error = run.status("a")["error"]
    assert run.status("a")["reason"] == "cell 28: ZeroDivisionError: division by zero"
    assert (error["cell"], error["cells"], error["source"]) == (28, 36, "zero = 0\n1 / zero")
    assert "ZeroDivisionError" in error["traceback"] and error["name"] == "ZeroDivisionError"
    assert "cell 28: ZeroDivisionError" in cc("show", "last").stdout
    told = cc("explain", "last", "a").stdout
    assert "1 / zero" in told and "Traceback" in told and "\x1b" not in told
    assert "ZeroDivisionError" in run.log("a")
    executed = nbformat.read(folder / "w-runs" / run.id / "a.ipynb", 4)
    assert any(out.output_type == "error" for cell in executed.cells for out in cell.get("outputs", []))
    assert (folder / "n.ipynb").read_bytes() == before


def test_clear_failures(folder):
    """A kernel that dies, is killed or is not there, a cell without end, an early exit: each says what and where."""
    notebook(folder, "exit.ipynb", "1", "import os\nos._exit(3)", "2")
    notebook(folder, "kill.ipynb", "1", "import os\nos.kill(os.getpid(), 9)", "2")
    notebook(folder, "slow.ipynb", "1", "import time\ntime.sleep(100)")
    notebook(folder, "early.ipynb", "1", "import sys\nsys.exit(0)", "2")
    write(folder, "broken.ipynb", "{")
    notebook(folder, "mute.ipynb", "raise MemoryError")
    run = (
        workflow(
            exit={"script": "exit.ipynb"},
            kill={"script": "kill.ipynb"},
            cell={"script": "slow.ipynb", "cell_timeout": 1},
            job={"script": "slow.ipynb", "timeout": 12},
            early={"script": "early.ipynb"},
            kernel={"script": "slow.ipynb", "kernel": "nowhere"},
            broken={"script": "broken.ipynb"},
            mute={"script": "mute.ipynb"},
        )
        .run()
        .wait(110)
    )
    reasons = {name: job["reason"] for name, job in run.status()["jobs"].items()}
    assert reasons["exit"] == "cell 2: DeadKernel: the kernel died (exit code 3)"
    assert reasons["kill"] == "cell 2: DeadKernel: the kernel was killed by signal 9, perhaps for want of memory"
    assert reasons["cell"] == "cell 2: CellTimeout: the cell took longer than cell_timeout allows"
    assert reasons["job"] == "the time limit of 12 s was reached, in cell 2"
    assert "not executed: 1 of 3 cells: one before" in reasons["early"]
    assert "there is no kernel 'nowhere' here but " in reasons["kernel"]
    assert "NotJSONError" in reasons["broken"]
    assert reasons["mute"] == "cell 1: MemoryError: out of memory"
    assert "cell" not in run.explain("kernel") and "in cell 1 of 1:\n    raise MemoryError" in run.explain("mute")
    assert {job["state"] for job in run.status()["jobs"].values()} == {"failed"}


def test_cancel_leaves_no_kernel(folder):
    """Cancelled in a cell, neither the runner nor its kernel nor what that started is left."""
    notebook(
        folder,
        "n.ipynb",
        "import os, subprocess, time\nchild = subprocess.Popen(['sleep', '100'], start_new_session=True)",
        "open('pids', 'w').write(f'{os.getpid()} {os.getppid()} {child.pid}')\ntime.sleep(100)",
    )
    run = workflow(a={"script": "n.ipynb"}).run()
    pids = until(lambda: (folder / "pids").exists() and (folder / "pids").read_text().split())
    run.cancel().wait(60)
    assert run.state == "cancelled" and len(pids) == 3
    assert all(ended(pid) for pid in pids)


def family(folder, *names):
    """Notebooks that tell who runs them, and wait for a file `go`: their kernel, the process that executes them, the
    parents by whose guards these two were forked, their limit of memory."""
    up = "def up(pid): return int(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1])"
    pids = "os.getpid(), int(os.environ['JPY_PARENT_PID']), up(os.getppid()), up(up(int(os.environ['JPY_PARENT_PID'])))"
    tell = f"import os, resource, time\n{up}\nwho = [{pids}, resource.getrlimit(resource.RLIMIT_AS)[0]]"
    for name in names:
        wait = "while not os.path.exists('go'): time.sleep(0.02)"
        notebook(folder, f"{name}.ipynb", f"{tell}\nopen('{name}.part', 'w').write(str(who))", wait)
        told = f"os.rename('{name}.part', '{name}.who')"
        notebook(folder, f"{name}.ipynb", f"{tell}\nopen('{name}.part', 'w').write(str(who))", told, wait)
    return lambda: [json.loads((folder / f"{name}.who").read_text()) for name in names]


def test_notebooks_share_what_was_imported_and_nothing_else(folder):
    """Each has a process and a kernel of its own, forked by one parent each, with the limits of its job; the parents
    go with the run."""
    who = family(folder, "a", "b")
    (folder / "go").touch()
    flow = workflow(a={"script": "a.ipynb", "resources": {"memory": "3G"}}, b={"script": "b.ipynb"})
    run = flow.run().wait(60)
    (*children, kernels, parent, memory), (*others, alike, same, free) = who()
    assert run.state == "done" and len({*children, *others, kernels, parent}) == 6
    assert (kernels, parent) == (alike, same) and memory == 3 << 30 and free != memory
    until(lambda: all(map(ended, (kernels, parent, *children, *others))))


def test_a_notebook_outlives_the_engine_and_its_parents(folder):
    """Killed engines and parents take no notebook with them; the next engine's notebooks have parents again."""
    who = family(folder, "a", "b")
    flow = workflow(a={"script": "a.ipynb"}, b={"script": "b.ipynb", "after": "a"})
    run = flow.run()
    until((folder / "a.who").exists)
    kill_engine(run)
    parents = json.loads((folder / "a.who").read_text())[2:4]
    until(lambda: all(map(ended, parents)))
    where = os.open(run.folder, os.O_RDONLY)
    for name in ("notebook", "ipykernel_launcher"):
        with socket.socket(socket.AF_UNIX) as line:
            assert line.connect_ex(f"/proc/self/fd/{where}/warm.{name}") == errno.ECONNREFUSED
    os.close(where)
    (folder / "go").touch()
    assert run.resume().wait(60).state == "done" and run.status("a")["attempt"] == 1
    assert len({*parents, *who()[1][2:4]}) == 4 and who()[0][2:4] == parents


def test_a_notebook_whose_process_is_killed(folder):
    """Whether its own process or the job's is killed, a notebook has failed by signal 9, and no kernel is left."""
    who = family(folder, "a", "b")
    run = workflow(a={"script": "a.ipynb"}, b={"script": "b.ipynb"}).run()
    until(lambda: len(list(folder.glob("*.who"))) == 2)
    (kernel, child, *_), (other, last, *_) = who()
    found = psutil.process_iter(["cmdline", "cwd"])
    (job,) = [p.pid for p in found if p.info["cwd"] == str(folder) and (p.info["cmdline"] or [])[3:] == ["./b.ipynb"]]
    os.kill(child, signal.SIGKILL)
    os.kill(job, signal.SIGKILL)
    assert run.wait(60).state == "failed"
    assert [run.status(name)["reason"] for name in "ab"] == ["signal 9 (perhaps out of memory)"] * 2
    until(lambda: all(map(ended, [kernel, other, last])))


def test_a_kernel_that_hears_nothing_is_ended(folder):
    """A cell that holds the interpreter's lock keeps no signal's handler from running, and no kernel is left."""
    tell = "import ctypes, os\nopen('pid', 'w').write(str(os.getpid()))"
    notebook(folder, "n.ipynb", tell, "ctypes.PyDLL(None).sleep(100)")
    run = workflow(a={"script": "n.ipynb", "cell_timeout": 1}).run().wait(60)
    assert "cell 2: CellTimeout" in run.status("a")["reason"]
    until(lambda: ended((folder / "pid").read_text()))


def test_a_forked_kernel_is_as_one_that_was_started(folder):
    """Its cells find no module of ours; what only a start of the interpreter reads (here its hashes) is heeded."""
    code = "import json, sys, os\nours = [name for name in sys.modules if 'papermill' in name or name == 'notebook']"
    tell = "open('told', 'a').write(json.dumps([sys.argv[1], ours, [p for p in sys.path if 'runs' in p], hash('x')]))"
    notebook(folder, "n.ipynb", code, f"{tell}\nopen('told', 'a').write('\\n')", "os.environ['CC_ATTEMPT'][0]")
    seeded = {"script": "n.ipynb", "env": {"PYTHONHASHSEED": "0"}}
    run = workflow(a=seeded, b={"script": "n.ipynb", "after": "a"}, c={**seeded, "after": "b"}).run().wait(60)
    told = [json.loads(line) for line in (folder / "told").read_text().splitlines()]
    assert run.state == "done" and told[0] == told[2] != told[1]
    assert told[1][:3] == ["-f", [], [str(run.folder / "stub")]]


def test_notebooks_are_forked_wherever_the_store_is(folder, monkeypatch):
    """Also behind a symbolic link, and where Python searches no script's folder; logs hold what cells print."""
    (folder / "real").mkdir()
    (folder / "link").symlink_to("real")
    monkeypatch.setenv("CC_HOME", str(folder / "link"))
    tell = "print('started' if sys.orig_argv[3:] else 'forked', [p for p in sys.path if 'runs' in p])"
    notebook(folder, "n.ipynb", f"import sys\n{tell}\nprint([f for f in sys.modules if f == 'notebook'])")
    logs = []
    safe = {"script": "n.ipynb", "env": {"PYTHONSAFEPATH": "1"}}
    for jobs in ({"a": {"script": "n.ipynb"}, "b": safe}, {"a": safe}):
        run = workflow(**jobs).run(new=True).wait(60)
        assert run.state == "done", run.log("a")
        stub = [str((run.folder / "stub").resolve())]
        logs += [run.log(name).replace(str(stub), "").split("\n")[:2] for name in jobs]
        monkeypatch.setenv("PYTHONSAFEPATH", "1")
    assert logs == [[f"{way} ", "[]"] for way in ("forked", "started", "forked")]


def test_no_kernel_needs_a_port(folder):
    """A port that is chosen may be taken before it is used, which kept one notebook of forty waiting for ever."""
    cell = "import ipykernel, json\nprint(json.load(open(ipykernel.get_connection_file()))['transport'])"
    notebook(folder, "n.ipynb", cell)
    run = workflow(a={"script": "n.ipynb"}).run().wait(60)
    assert run.state == "done" and run.log("a").startswith("ipc\n")


def test_three_at_once_do_not_see_each_other(tmp_path, monkeypatch):
    """Notebooks of different folders, and isolated ones, run at the same time each in its own folder."""
    runs = []
    for name in ("x", "y", "z"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        code = f"import os, time\nopen('mine', 'a').write('{name}')\ntime.sleep(1)\nprint(sorted(os.listdir()))"
        notebook(tmp_path / name, "n.ipynb", code)
        flow = workflow(a={"script": "n.ipynb", "isolated": name == "z"})
        runs.append(flow.run(max_parallel=3))
    for name, run in zip("xyz", runs, strict=True):
        assert run.wait(60).state == "done"
        assert (tmp_path / name / "mine").exists() == (name != "z")
    assert (tmp_path / "x" / "mine").read_text() == "x" and (tmp_path / "y" / "mine").read_text() == "y"
    assert "'mine', 'n.ipynb'" in runs[2].log("a")


def test_kernel_of_another_environment(folder):
    """`venv` runs the kernel in that environment; one without ipykernel is told what it lacks."""
    for name in ("full", "empty"):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / name], check=True)
    (site,) = (folder / "full").glob("lib/python3*/site-packages")
    (site / "tests.pth").write_text(sysconfig.get_path("purelib"))
    notebook(folder, "n.ipynb", "import sys\nprint('prefix', sys.prefix)")
    flow = workflow(a={"script": "n.ipynb", "venv": "full"}, b={"script": "n.ipynb", "venv": str(folder / "empty")})
    run = flow.run().wait(60)
    assert f"prefix {folder / 'full'}" in run.log("a") and run.status("a")["state"] == "done"
    assert "no ipykernel" in run.status("b")["reason"]


def test_over_ssh(folder, tmp_path):
    """On a host with papermill a notebook reports and fails as at home."""
    notebook(folder, "good.ipynb", PARAMS, "from cc_notebook import progress\nprogress(rows=size)", tagged=True)
    notebook(folder, "bad.ipynb", "1", "raise KeyError('gone')")
    with sshd(tmp_path / "sshd") as config:
        place = {"ssh_config": str(config), "workdir": str(tmp_path / "remote"), "python": sys.executable}
        flow = workflow(
            good={"script": "good.ipynb", "params": {"size": 7}, "kind": "ssh", "host": "box"},
            bad={"script": "bad.ipynb", "kind": "ssh", "host": "box"},
        )
        flow._body["hosts"] = {"box": place}
        run = flow.run().wait(100)
    assert run.outputs("good") == {"rows": 7} and run.status("good")["state"] == "done"
    assert run.status("bad")["reason"] == "cell 2: KeyError: 'gone'" and run.status("bad")["error"]["cells"] == 2


def test_a_machine_without_papermill_says_what_to_install(folder):
    """The runner needs papermill; where it is missing the log names the command that installs it."""
    notebook(folder, "n.ipynb", "1")
    runner = Path(__file__).parent.parent / "cc_notebook" / "notebook.py"
    env = {**os.environ, "CC_JOB_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-S", runner, "n.ipynb"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "pip install papermill ipykernel" in done.stderr


def test_a_traceback_through_libraries_is_told(folder):
    """A failure deep in a library, with a long coloured traceback, keeps its cell, message and traceback."""
    notebook(folder, "n.ipynb", "1", "import json\njson.loads('{x')", "2")
    run = workflow(a={"script": "n.ipynb"}).run().wait(60)
    assert run.status("a")["reason"].startswith("cell 2: JSONDecodeError: Expecting property name")
    assert "json.loads('{x')" in run.status("a")["error"]["source"]


def test_progress_after_an_open_line_and_glued_text(folder):
    """What a cell prints without a newline hides no report; text is glued as well as numbers."""
    scrap = "application/scrapbook.scrap.text+json"
    glue = f"from IPython.display import display\ndisplay({{{scrap!r}: {{'name': 'word', 'data': 'a b'}}}}, raw=True)"
    notebook(folder, "n.ipynb", "print('.', end='')", "print('.', end='')\n" + glue, "print('.', end='')")
    run = workflow(a={"script": "n.ipynb"}).run().wait(60)
    assert run.status("a")["step"] == "3/3" and run.outputs("a") == {"word": "a b"}


def test_params_of_every_shape(folder):
    """Values with `=`, annotated and unpacked names, infinity, a list for a tuple; no kernelspec, but `kernel:`."""
    first = "url: str = 'http://h/?q=1'\nq, r = 1, 2\nlimit = 1.0\nshape = (1, 2)\nopts = dict(a=1)"
    notebook(folder, "n.ipynb", first, "print(url, q, limit, shape, opts)", tagged=True)
    made = json.loads((folder / "n.ipynb").read_text())
    del made["metadata"]["kernelspec"]
    write(folder, "n.ipynb", json.dumps(made))
    params = {"url": "x=y", "q": 5, "limit": float("inf"), "shape": [3, 4], "opts": {"b": None}}
    run = workflow(a={"script": "n.ipynb", "kernel": "python3", "params": params}).run().wait(60)
    assert run.state == "done", run.status("a")
    assert "x=y 5 inf [3, 4] {'b': None}" in run.log("a")


def test_a_copy_that_cannot_be_placed_fails_nothing(folder):
    """Where the results folder cannot be made the job is done all the same."""
    write(folder, "w-runs", "in the way")
    notebook(folder, "n.ipynb", "1")
    assert workflow(a={"script": "n.ipynb"}).run().wait(60).state == "done"


def test_a_venv_that_is_not_there_is_told(folder):
    """Neither a notebook nor a script runs in another environment than the one that was asked for."""
    notebook(folder, "n.ipynb", "1")
    write(folder, "s.py", "")
    run = workflow(a={"script": "n.ipynb", "venv": "no/env"}, b={"script": "s.py", "venv": "./no"}).run().wait(60)
    assert "the venv 'no/env' is not there" in run.status("a")["reason"]
    assert run.state == "failed" and run.status("b")["state"] == "failed"


def test_a_corrected_notebook_is_what_runs_again(folder):
    """After a failure the executed copy lies beside the workflow; a retry takes the notebook itself, as it is now."""
    notebook(folder, "a.ipynb", "1 / 0")
    run = workflow(a={"script": "a.ipynb", "isolated": True}).run().wait(60)
    assert run.state == "failed" and list(folder.glob("w-runs/*/a.ipynb"))
    notebook(folder, "a.ipynb", "print('mended')")
    assert run.retry().wait(60).state == "done" and "mended" in run.log("a")


# IPython forgets the names of cells before it ends, so what is to work until then has its own
RACE = """import atexit, os, threading, time
from ipykernel.iostream import OutStream
def slow(self, flush=OutStream.flush, thread=threading.current_thread, time=time):
    until = time.time() + (thread().name == "Control")
    while time.time() < until or not self.pub_thread.thread.is_alive():
        time.sleep(0.05)
    flush(self)
class Last:
    def __del__(self, mkdir=os.mkdir):
        mkdir("left")
OutStream.flush, atexit.last = slow, Last()"""


def test_a_kernel_ends_in_order(folder):
    """ipykernel's race at its end, here always lost: the kernel is not killed for want of an end of its own."""
    notebook(folder, "n.ipynb", RACE)
    assert workflow(a={"script": "n.ipynb"}).run().wait(100).state == "done" and (folder / "left").is_dir()


def test_grading_a_class(folder, cc):
    """Among thirty a dead kernel, an endless loop, a wrong cell and a glutton fail alone, each with its cause."""
    troubles = {
        "s03": ("import os; os._exit(1)", "DeadKernel: the kernel died (exit code 1)"),
        "s07": ("while True: pass", "CellTimeout: the cell took longer than cell_timeout allows"),
        "s11": ("big = b'x' * (4 << 30)", "MemoryError: out of memory (the limit is 2 GB)"),
        "s15": ("1 / 0", "ZeroDivisionError: division by zero"),
        "s19": (
            "import ctypes; ctypes.memset(0, 1, 9)",
            "DeadKernel: the kernel was killed by signal 11, perhaps for want of memory (the limit is 2 GB)",
        ),
    }
    students = [f"s{number:02}" for number in range(30)]
    for name in students:
        (folder / "submissions" / name).mkdir(parents=True)
        cell = troubles.get(name, ["print('# cloudmesh progress=50 points=7')"])[0]
        notebook(folder / "submissions" / name, "homework.ipynb", "alone = open('mine', 'x')", cell)
    text = next(text for _, text in examples("yaml") if "submissions/" in text)
    write(folder, "grade.yaml", text.replace("cell_timeout: 2m", "cell_timeout: 3"))
    assert cc("run", "grade.yaml").returncode == 1
    rows = json.loads(cc("results", "last", "grade", "--json").stdout)
    found = {row["student"].split("/")[1]: (row["state"], row["cell"], row["error"], row.get("points")) for row in rows}
    wrong = {name: ("failed", 2, f"cell 2: {error}", None) for name, (_, error) in troubles.items()}
    assert found == dict.fromkeys(students, ("done", "", "", 7)) | wrong
    assert all((folder / row["file"]).suffix == ".ipynb" and (folder / row["file"]).is_file() for row in rows)
    with open(folder / "grades.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == ["job", "student", "state", "points", "time", "cell", "error", "file"]
    assert [(row["student"], row["error"]) for row in table] == [(row["student"], row["error"]) for row in rows]
