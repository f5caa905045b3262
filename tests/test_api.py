"""The Python interface is the article's: Figures 8, 9 and 10 with their parameters, states saved, functions as jobs."""

import inspect
import json
import re
import subprocess
import sys
import threading

import pytest
from conftest import until, write

from cc_notebook import Workflow
from cc_notebook.errors import InputError, RunError, SpecError
from cc_notebook.workflow import Job

FIGURE_8 = {
    "clear": {},
    "create": {"filename": None, "script": None, "exec": None},
    "get_log": {"refresh": True},
    "get_pid": {"refresh": False},
    "get_progress": {"refresh": False},
    "get_status": {"refresh": False},
    "kill": {},
    "run": {},
    "sync": {},
    "watch": {"period": 10},
}
NEEDED = inspect.Parameter.empty
FIGURE_9 = {
    "add_dependencies": {"dependency": NEEDED},
    "add_dependency": {"source": NEEDED, "destination": NEEDED},
    "add_job": {},
    "display": {"filename": None, "name": "workflow", "first": True},
    "job": {},
    "load": {"filename": NEEDED, "clear": True},
    "remove_job": {"name": NEEDED, "state": False},
    "remove_workflow": {},
    "run_parallel": {},
    "run_topo": {"order": None, "dryrun": False, "show": True, "filename": None},
    "save": {"filename": None},
    "save_with_state": {"filename": NEEDED, "stdout": False},
    "sequential_order": {},
    "update_progress": {"name": NEEDED},
    "update_status": {"name": NEEDED, "status": NEEDED},
}


@pytest.mark.parametrize(
    ("kind", "method", "wanted"),
    [(Job, *item) for item in FIGURE_8.items()] + [(Workflow, *item) for item in FIGURE_9.items()],
)
def test_signatures_are_the_articles(kind, method, wanted):
    """Each method of Figures 8 and 9 is there with the printed parameters, in their order, with their defaults."""
    found = list(inspect.signature(getattr(kind, method)).parameters.values())[1:]
    assert [(p.name, p.default) for p in found][: len(wanted)] == list(wanted.items())


def test_the_table_is_a_property():
    """The article prints `w.table` without brackets."""
    assert isinstance(inspect.getattr_static(Workflow, "table"), property)


def test_methods_of_a_job(folder):
    """A script is made from a template, run alone, watched and read; nothing is known before the first run."""
    flow = Workflow(name="w")
    job = flow.add_job("count", exec="true")
    assert (job.get_status(), job.get_progress(), job.get_pid(), job.get_log()) == ("ready", 0, None, "")
    assert job.create(exec='echo "counted"') == str(folder / "count.sh")
    with pytest.raises(InputError, match="is there already"):
        job.create()
    with pytest.raises(InputError, match=r"is no \.sh or \.py file"):
        job.create("count.txt")
    flow.add_job("never", exec="echo no > never", after="count")
    run = job.sync().run()
    assert job.watch(0.01) == "done" and run.wait().state == "done"
    assert "counted" in job.get_log() and job.get_progress() == 100 and job.get_pid() > 0
    assert not (folder / "never").exists() and flow.predecessors("never") == ["count"]
    assert flow["count"].create("other.py") and "progress(1)" in (folder / "other.py").read_text()


def test_sync_misses_a_script(folder):
    """Synchronising a job whose script has gone says so."""
    write(folder, "a.sh", "true\n")
    flow = Workflow(name="w")
    job = flow.add_job("a", script="a.sh")
    (folder / "a.sh").unlink()
    with pytest.raises(SpecError, match=r"a\.sh' does not exist"):
        job.sync()


def test_kill_clear_and_update(folder):
    """A job is killed alone, its state is set by hand, and cleared: then its run goes on with it."""
    flow = Workflow(name="w")
    job = flow.add_job("a", exec='echo "# cloudmesh progress=40"; test -e go || sleep 1000')
    with pytest.raises(InputError, match="has not run yet"):
        job.kill()
    run = flow.run()
    until(lambda: flow.update_progress("a") == 40)
    with pytest.raises(InputError, match="cancel it first"):
        flow.update_status("a", "done")
    job.kill()
    until(lambda: job.get_status() == "cancelled")
    flow.update_status("a", "done")
    assert job.get_status() == "done" and run.status("a")["by_hand"]
    (folder / "go").touch()
    job.clear()
    until(lambda: run.wait().state == "done" and run.status("a")["attempt"] == 2)


def test_state_is_saved_and_taken_over(folder):
    """What was done when the state was saved is not run again by another program: its outputs are there."""
    write(folder, "a.sh", 'echo a >> ledger; echo "# cloudmesh progress=50 rows=7"\n')
    write(folder, "b.sh", 'test -e mended && echo "b $ROWS" >> ledger\n')
    flow = Workflow(name="w")
    flow.add_job("a", script="a.sh", label="{name}")
    flow.add_job("b", script="b.sh", env={"ROWS": "{a.rows}"}, after="a")
    path = flow.save()
    path.write_text(path.read_text() + "# mine\n")
    flow.load(path)
    assert flow.run().wait().state == "failed"
    text = flow.save_with_state("saved.yaml", stdout=True)
    assert (folder / "saved.yaml").read_text() == text and flow.save_with_state("saved.yaml") is None
    assert flow.save_with_state(None, stdout=True) == text and "# mine\n" in text
    write(folder, "mended", "")
    program = "from cc_notebook import Workflow\nw = Workflow(name='again')\nw.load_with_state('saved.yaml')\n"
    program += "run = w.run().wait()\nprint(run.state, run.status('a')['attempt'], run.outputs('a'))\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "done 0 {'rows': 7}\n", done.stderr
    assert (folder / "ledger").read_text() == "a\nb 7\n"


def test_a_second_graph_is_merged(folder):
    """`load(file, clear=False)` adds the jobs of a second file to those that are there."""
    write(folder, "one.yaml", "workflow:\n  nodes: {a: {exec: 'true'}, b: {exec: 'true'}}\n  dependencies: ['a, b']\n")
    write(folder, "two.yaml", "workflow:\n  nodes: {b: {exec: 'false'}, c: {exec: 'true'}}\n  dependencies: ['b, c']\n")
    flow = Workflow("one.yaml").load("two.yaml", clear=False)
    assert flow.sequential_order() == ["a", "b", "c"] and flow["b"]["exec"] == "false"


FUNCTIONS = """\
from cc_notebook import Workflow

w = Workflow(name="functions")
w.add_job("fetch", exec="echo '# cloudmesh progress=50 rows=7'")


@w.job(after="fetch", params={"rows": "{fetch.rows}"})
def train(size: int, rows: int, names: list = ["x", "y"], rate: float = 0.5) -> dict:
    import math

    return {"loss": rate * size + rows, "names": names, "root": math.sqrt(size)}


@w.job
def alone():
    pass

"""


def test_a_file_that_somebody_else_changed_is_not_overwritten(folder):
    """Saving refuses where the file is no longer what was loaded or saved, unless that is asked for."""
    path = write(folder, "w.yaml", "workflow: {nodes: {a: {exec: 'true'}}}\n")
    mine, theirs = Workflow("w.yaml"), Workflow("w.yaml")
    theirs.add_job("b", exec="true")
    theirs.save()
    theirs.add_job("c", exec="true")
    theirs.save()
    mine.add_job("d", exec="true")
    with pytest.raises(InputError, match="changed on disk"):
        mine.save()
    assert set(Workflow("w.yaml").nodes) == {"a", "b", "c"}
    assert mine.save(overwrite=True) == path and set(Workflow("w.yaml").nodes) == {"a", "d"}


def test_functions_are_jobs_and_a_workflow_is_a_function(folder):
    """Hints become params with their defaults, the returned dict the outputs, and the call returns all outputs."""
    write(folder, "program.py", FUNCTIONS + "import json\nprint(json.dumps(w(size=10, rate=2)))\n")
    done = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    outputs = json.loads(done.stdout)
    assert outputs == {
        "fetch": {"rows": 7},
        "train": {"loss": 27, "names": ["x", "y"], "root": pytest.approx(3.1623, abs=1e-4)},
    }
    assert "def train" in (folder / "train.py").read_text() and "@w.job" not in (folder / "train.py").read_text()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("w()", "param 'size' has no value"),
        ("w(size='ten')", "param 'size' is of type int; 'ten' is not"),
        ("w(size='10')", "param 'size' is of type int; '10' is not"),
        ("w(size=True)", "param 'size' is of type int; True is not"),
        ("w(size=1, rate='x')", "param 'rate' is of type float"),
        ("w(siez=1)", "did you mean 'size'"),
        ("w.job(lambda: 1)", "no plain function"),
        ("exec('def made(): pass')\nw.job(made)", "the source of 'made' is not known"),
        ("@w.job\ndef both(*all): pass", "cannot be a param"),
        ("open('mine.py', 'w').close()\n@w.job\ndef mine(): pass", "is a file of yours"),
        ("def outer():\n  x = 1\n  @w.job\n  def inner(): return x\nouter()", "uses variables of another one"),
    ],
)
def test_functions_are_checked(folder, call, told):
    """A missing or wrong value, and what cannot be a job, is an error before anything runs."""
    write(folder, "program.py", FUNCTIONS + call + "\n")
    done = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and re.search("(Input|NotFound)Error", done.stderr) and told in done.stderr


def test_a_failed_call_says_where(folder):
    """A workflow that is called as a function raises an error that names the run and the job."""
    flow = Workflow(name="w")
    flow.add_job("bad", exec="exit 3")
    with pytest.raises(RunError, match="failed: bad"):
        flow()


def test_a_workflow_is_built_by_a_thread(folder):
    """The interface asks for no event loop and no main thread."""
    found = []

    def work():
        flow = Workflow(name="w")
        flow.add_job("a", exec="true")
        found.append(flow.run().wait().state)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert found == ["done"]
