"""The live graph in a notebook: what a real kernel tells a browser, and what a user sees and does in one.

JupyterLab and Notebook 7 run here as they are, in the system's Chromium.
"""

import base64
import itertools
import json
import queue
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("ipycytoscape", reason="needs the test extra: pip install -e '.[test]'")
from conftest import until
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from cc_notebook import Workflow, graph, showing
from cc_notebook.state import JobStatus, RunState
from cc_notebook.views.picture import looks, svg
from cc_notebook.widget import drawing
from cc_notebook.widget.graph import SHAPES, shape

WIDGET = "application/vnd.jupyter.widget-view+json"
HOSTILE = "a; & Ünï (script) javascript:alert(1)"
BAD_LABEL = "<script>document.title='bad'</script><img src=x onerror=\"document.title='bad'\">\x1b[31m\u202e"
# A job that goes on when a file is there
WAIT = "while [ ! -e {} ]; do sleep 0.02; done"


class Kernel:
    """A real kernel, and all that it tells a browser."""

    def __init__(self, folder):
        self.manager, self.client = start_new_kernel(cwd=str(folder))
        self.told = []

    def __call__(self, code):
        """Execute a cell; the messages of the cell. What it raises fails the test."""
        asked = self.client.execute(code)
        before = len(self.told)
        while True:
            message = self.client.get_iopub_msg(timeout=60)
            self.told.append(message)
            if message["msg_type"] == "error":
                raise AssertionError("\n".join(message["content"]["traceback"]))
            own = message["parent_header"].get("msg_id") == asked
            if own and message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return self.told[before:]

    def text(self, code):
        """What a cell prints."""
        return "".join(m["content"]["text"] for m in self(code) if m["msg_type"] == "stream").strip()

    def fails(self, code):
        """What a cell tells that fails, so that those after it do not run."""
        before = len(self.told)
        with suppress(AssertionError):
            self(code)
        found = [m["content"] for m in self.told[before:] if m["msg_type"] in ("stream", "error")]
        until(lambda: self.reply()["content"]["status"] == "error")
        return "".join(content.get("text") or content["evalue"] for content in found)

    def reply(self):
        """The next answer to a cell."""
        return self.client.get_shell_msg(timeout=60)

    def hear(self, seconds=0.0):
        """Take in what was told since; the messages that came in this time."""
        before, deadline = len(self.told), time.monotonic() + seconds
        while True:
            try:
                self.told.append(self.client.get_iopub_msg(timeout=max(0.01, deadline - time.monotonic())))
            except queue.Empty:
                return self.told[before:]

    def until(self, condition):
        """Take in what is told until all that was told in this test fulfils a condition."""
        return until(lambda: (self.hear() and condition(self.told)) or condition(self.told))

    def say(self, model, content):
        """Send what the browser sends from a widget."""
        data = {"method": "custom", "content": content}
        self.client.shell_channel.send(self.client.session.msg("comm_msg", {"comm_id": model, "data": data}))


@pytest.fixture
def kernel(folder):
    """A kernel whose current folder is the workflow folder."""
    found = Kernel(folder)
    found("from cc_notebook import Workflow\nimport cc_notebook.widget.view as view")
    found.told.clear()
    yield found
    found.client.stop_channels()
    found.manager.shutdown_kernel(now=True)


def updates(messages, key):
    """What widgets were told of one of their traits: (model, value)."""
    data = [(m["content"]["comm_id"], m["content"]["data"]) for m in messages if m["msg_type"] == "comm_msg"]
    return [(model, told["state"][key]) for model, told in data if key in told.get("state", {})]


def bundles(messages, kind="display_data"):
    """The outputs of a cell."""
    return [m["content"]["data"] for m in messages if m["msg_type"] == kind]


def labels(messages):
    """The texts of boxes that changed."""
    return [value["label"] for _, value in updates(messages, "data")]


def picture(html):
    """The SVG in a still."""
    return base64.b64decode(re.search('base64,([^"]*)', html)[1]).decode()


# ---- what is told ---------------------------------------------------------------------------------------------------


def test_a_workflow_as_last_line_is_a_picture_and_a_widget(kernel, folder):
    """The output holds a picture and a table of the moment, then the widget, and no state that would be saved."""
    still, widget = bundles(
        kernel("w = Workflow(name='w')\nw.add_job('a', exec='true') >> w.add_job('b', exec='true')\nw")
    )
    assert "· a" in picture(still["text/html"]) and still["text/html"].count("<tr>") == 3
    assert list(widget) == [WIDGET, "text/plain"] and widget["text/plain"] == ""
    assert "ready" in kernel.text("print(w.table)")


def test_a_change_of_one_job_is_one_message(kernel, folder):
    """Each changed box gets one message, with its new text and colour; where nothing changes nothing is told."""
    kernel(f"w = Workflow(name='w')\nw.add_job('a', exec='{WAIT.format('go')}') >> w.add_job('b', exec='true')\nw")
    kernel("run = w.run()")
    kernel.until(lambda told: "▶ a\n1%" in labels(told))
    kernel.hear(0.5)
    assert [m["msg_type"] for m in kernel.hear(1.2)] == []
    kernel.told.clear()
    (folder / "go").touch()
    kernel.until(lambda told: "✓ b\n100%" in labels(told))
    kernel.hear(0.5)
    changed = updates(kernel.told, "data")
    assert [value["label"] for _, value in changed if " a" in value["label"]] == ["✓ a\n100%"]
    assert {value["fill"] for _, value in changed if "✓" in value["label"]} == {"#CCFFCC"}
    assert updates(kernel.told, "told")[-1][1]["counts"] == [["done", "✓", 2]]


def test_a_computing_cell_does_not_stop_it(kernel, folder):
    """While a cell computes, and while it waits for the run, the graph goes on."""
    kernel("w = Workflow(name='w')\nw.add_job('a', exec='echo \"# cloudmesh progress=40\"; sleep 1')\nw")
    kernel("w.run().wait(); None")
    inside = [value["label"] for _, value in updates(kernel.told, "data")]
    assert "▶ a\n40%" in inside and kernel.told[-1]["content"]["execution_state"] == "idle"


def test_clocks_tick_once_a_second(kernel, folder):
    """A label with a clock is told about once a second, and no longer when the run has ended."""
    job = f"exec='{WAIT.format('go')}', label='{{name}} {{dt.}}'"
    kernel(f"w = Workflow(name='w')\nw.add_job('a', {job})\nw\nw.run()\nw")
    kernel.until(lambda told: any("00:00:02" in label for label in labels(told)))
    ticks = [label for label in labels(kernel.told) if "▶" in label]
    assert len(ticks) == len(set(ticks)) <= 4
    (folder / "go").touch()
    kernel.until(lambda told: any("✓" in label for label in labels(told)))
    until(lambda: kernel.hear(1.2) == [])  # a picture of the end may still come, a clock that ticks never lets it be


def test_shown_twice_and_closed_leaves_nothing(kernel, folder):
    """Shown twice it has one set of models and one thread, which ends when the widget is closed during the run."""
    kernel(f"w = Workflow(name='w')\nw.add_job('a', exec='{WAIT.format('go')}')\nrun = w.run()")
    twice = [*bundles(kernel("w")), *bundles(kernel("w"))]
    assert len({data[WIDGET]["model_id"] for data in twice if WIDGET in data}) == 1
    threads = "import threading\nprint([t.name for t in threading.enumerate()].count('cc-notebook'))"
    assert kernel.text(threads) == "1"
    kernel("import ipywidgets\nview.of(w).close()")
    until(lambda: kernel.text(threads) == "0")
    assert (
        kernel.text("print(len(ipywidgets.Widget._instances) if hasattr(ipywidgets.Widget, '_instances') else 0)")
        in "0"
    )
    assert kernel.text("print(run.state)") == "running"
    (folder / "go").touch()


def test_a_workflow_that_is_forgotten_is_no_longer_followed(kernel, folder):
    """When nobody holds it and its run has ended, the thread ends too."""
    kernel("import gc\nw = Workflow(name='w')\nw.add_job('a', exec='true')\nw.run().wait()\ndisplay(w)")
    kernel("del w; gc.collect()")
    threads = "import threading; gc.collect()\nprint([t.name for t in threading.enumerate()].count('cc-notebook'))"
    until(lambda: kernel.text(threads) == "0")


def test_a_run_that_was_removed_is_no_error(kernel, folder):
    """A run whose files are gone while it is shown makes room for what is left."""
    kernel("w = Workflow(name='w')\nw.add_job('a', exec='true')\nw.run().wait()\nw")
    kernel.told.clear()
    kernel("from cc_notebook import keeping\nkeeping.remove(w.newest())")
    kernel.until(lambda told: any(not value["run"] for _, value in updates(told, "told")))
    assert "".join(m["content"]["text"] for m in kernel.told if m["msg_type"] == "stream") == ""


def test_the_newest_run_is_shown_and_older_ones_offered(kernel, folder):
    """A new run comes to the screen by itself, an older one when it is picked; a run shows itself."""
    kernel("w = Workflow(name='w')\nw.add_job('a', exec='true')\none = w.run().wait()\nw\nw")
    kernel("two = w.run(new=True).wait(); ids = two.id + ' ' + one.id")
    newest, oldest = kernel.text("print(ids)").split()
    kernel.until(lambda told: updates(told, "told") and updates(told, "told")[-1][1]["run"] == newest)
    told = updates(kernel.told, "told")[-1][1]
    assert [run for run, _ in told["runs"]] == ["", newest, oldest]
    kernel.say(updates(kernel.told, "told")[-1][0], {"pick": oldest})
    kernel.until(lambda told: updates(told, "told")[-1][1]["run"] == oldest)
    assert oldest in bundles(kernel("display(one)"))[0]["text/html"]


def test_a_click_selects(kernel, folder):
    """A click on a job is `w.selected`; where there is no page its story and its log are told."""
    kernel("w = Workflow(name='w')\nw.add_job('a', exec='echo hello there')\nw.run().wait()\nw")
    assert kernel.text("print(w.selected)") == "None"
    kernel("view.of(w).click('a')")
    assert kernel.text("print(w.selected)") == "a"
    told = updates(kernel.told, "told")[-1][1]
    assert told["selected"] == "a" and "hello there" in told["text"] and "a is done" in told["text"]


def test_a_run_has_views_of_its_own(kernel, folder):
    """`run.view("svg")` is a picture that follows it, and a click in the graph of a run is `run.selected`."""
    kernel("w = Workflow(name='w')\nw.add_job('a', exec='true')\nrun = w.run().wait()")
    (still,) = bundles(kernel("run.view('svg')"))
    assert "✓ a" in picture(still["text/html"])
    assert kernel.text("print(run.selected)") == "None"
    kernel("run")
    kernel("view.of(run).click('a')")
    assert kernel.text("print(run.selected, w.selected)") == "a None"


def test_buttons_work_without_a_server(kernel, folder):
    """Run, Pause, Resume, Cancel and Retry by the kernel; what is refused is told beside the graph."""
    kernel(f"w = Workflow(name='w')\nw.add_job('a', exec='{WAIT.format('go')}')\nw\nw.view()")
    model = kernel.text("print(view.of(w).panel.model_id)")

    def last(told):
        return updates(told, "told")[-1][1] if updates(told, "told") else {"state": "", "message": ""}

    for verb, state in (("run", "running"), ("pause", "paused"), ("run", "running"), ("cancel", "cancelled")):
        kernel.say(model, {"verb": verb})
        kernel.until(lambda told, state=state: last(told)["state"] == state)
    kernel.say(model, {"verb": "cancel"})
    kernel.say(model, {"verb": "pause"})
    kernel.until(lambda told: "has ended already" in last(told)["message"])
    (folder / "go").touch()
    kernel.say(model, {"verb": "retry"})
    kernel.until(lambda told: last(told)["state"] == "done")
    assert kernel.text("print(len(list(w.runs())))") == "1"


def test_a_file_that_is_wrong_keeps_the_last_graph(kernel, folder):
    """A mistake in the file is told with its line, and the graph stays; the mended file is shown at once."""
    path = folder / "w.yaml"
    path.write_text("workflow:\n  nodes:\n    a: {exec: 'true'}\n")
    kernel("w = Workflow('w.yaml')\nw")
    path.write_text("workflow:\n  nodes:\n    a: {exec: 'true', scrpt: b.sh}\n")
    kernel.until(lambda told: any("w.yaml:3:" in value["message"] for _, value in updates(told, "told")))
    assert kernel.text("print(list(view.of(w).graph.nodes))") == "['a']"
    path.write_text("workflow:\n  nodes:\n    a: {exec: 'true'}\n    b: {exec: 'true'}\n")
    kernel.until(lambda told: updates(told, "told")[-1][1]["message"] == "")
    until(lambda: kernel.text("print(list(view.of(w).graph.nodes), list(w.nodes))") == "['a', 'b'] ['a', 'b']")


UNSAVED = {
    "w.add_job('extra', exec='true')": "w.save()",
    "w.params['size'] = 3": "w.load('w.yaml')",
    "w.load_with_state('w.yaml')": "",
    "w.rename_job('a', 'b')": "w.save()",
}


@pytest.mark.parametrize("change", UNSAVED)
def test_what_the_file_does_not_say_is_told(kernel, folder, change):
    """After the cell the graph shows what was changed, and the buttons know that the file would run another one."""
    (folder / "w.yaml").write_text("workflow:\n  nodes:\n    a: {exec: 'true', status: done}\n")
    kernel("w = Workflow('w.yaml')\nw\nw.view()")
    said = updates(kernel.told, "told")
    assert not any(value["unsaved"] for _, value in said)
    kernel(f"{change}; None")
    kernel.until(lambda told: updates(told, "told") and updates(told, "told")[-1][1]["unsaved"])
    assert kernel.text("print(list(view.of(w).graph.nodes) == list(w.nodes))") == "True"
    if UNSAVED[change]:
        kernel(f"{UNSAVED[change]}; None")
        kernel.until(lambda told: not updates(told, "told")[-1][1]["unsaved"])
    assert updates(kernel.told, "told")[-1][1]["message"] == ""


def test_a_file_that_changed_before_it_is_shown(kernel, folder):
    """What is shown is what the server would run, also if the file has changed since it was loaded."""
    (folder / "w.yaml").write_text("workflow:\n  nodes:\n    a: {exec: 'true'}\n")
    kernel("w = Workflow('w.yaml')")
    (folder / "w.yaml").write_text("workflow:\n  nodes:\n    b: {exec: 'true'}\n")
    assert "· b" in picture(bundles(kernel("w"))[0]["text/html"])


def test_own_changes_are_not_thrown_away(kernel, folder):
    """A file that changed on disk does not replace what was changed in the notebook and not saved: it is told."""
    path = folder / "w.yaml"
    path.write_text("workflow:\n  nodes:\n    a: {exec: 'true'}\n")
    kernel("w = Workflow('w.yaml')\nw")
    kernel("w.add_job('mine', exec='true'); None")
    path.write_text("workflow:\n  nodes:\n    a: {exec: 'true'}\n    b: {exec: 'true'}\n")
    kernel.until(lambda told: any("changed on disk" in value["message"] for _, value in updates(told, "told")))
    assert kernel.text("print(list(w.nodes))") == "['a', 'mine']"


def test_without_a_widget_the_picture_follows(kernel, folder):
    """`view("svg")` is changed in its place at each change; so is the picture of a widget from which nobody answers."""
    kernel("view.SLOW = 0.3\nw = Workflow(name='w')\nw.add_job('a', exec='true')\nw.view('svg')")
    assert bundles(kernel("w"))[1][WIDGET]
    kernel.until(
        lambda told: any("jupyter cc doctor" in data["text/html"] for data in bundles(told, "update_display_data"))
    )
    kernel("w.run().wait(); None")

    def shown(told):
        return [data["text/plain"] for data in bundles(told, "update_display_data")]

    kernel.until(lambda told: sum("done, 100 %" in text for text in shown(told)) >= 2)
    identities = {
        m["content"]["transient"]["display_id"] for m in kernel.told if m["msg_type"] == "update_display_data"
    }
    assert len(identities) == 2


def test_a_browser_that_answers_needs_no_second_picture(kernel, folder):
    """Where the widget has answered, the hidden picture changes with the run's state only."""
    kernel("w = Workflow(name='w')\nw.add_job('a', exec='echo \"# cloudmesh progress=9\"; sleep 1')\nw")
    kernel.say(kernel.text("print(view.of(w).panel.model_id)"), {"pages": False})
    kernel("view.SLOW = 0")
    kernel("w.run().wait(); None")
    kernel.hear(0.5)
    found = [data["text/plain"] for data in bundles(kernel.told, "update_display_data")]
    assert [text.partition(": ")[2].partition(",")[0] for text in found] == ["running", "done"]


def test_without_the_libraries_it_says_so(kernel, folder):
    """Where ipycytoscape is not installed there is a live picture and one line that says what to do."""
    kernel("import sys; sys.modules['ipycytoscape'] = None\nw = Workflow(name='w')\nw.add_job('a', exec='true')")
    (still,) = bundles(kernel("w"))
    assert "· a" in picture(still["text/html"])
    kernel("w.run().wait(); None")
    kernel.until(
        lambda told: any(
            "cc-notebook[notebook]" in d["text/html"] and "jupyter cc doctor" in d["text/html"]
            for d in bundles(told, "update_display_data")
        )
    )


def test_nothing_from_data_is_markup(kernel, folder):
    """Hostile names, labels, errors and logs are text in the picture, in the table and for the widget."""
    kernel(f"w = Workflow(name='w')\nname, label = {HOSTILE!r}, {BAD_LABEL!r}")
    kernel("w.add_job(name, exec=f'echo {chr(39)}{label}{chr(39)}; exit 3', label=label)\nw.run().wait(); None")
    still, _ = bundles(kernel("w"))
    kernel("view.of(w).click(name)")
    html = re.sub('base64,[^"]*', "", still["text/html"])
    for text in (html, picture(still["text/html"])):
        assert not re.search("<script|<img src|\x1b|\u202e", text)
    told = updates(kernel.told, "told")[-1][1]
    boxes = kernel.text("print(ascii([n.data['label'] for n in view.of(w).graph.nodes.values()]))")
    assert "<script>" in told["text"] and not re.search("\x1b|\u202e", told["text"])
    assert "<script>" in boxes and not re.search(r"\\x1b|\\u202e", boxes)


# ---- magics ---------------------------------------------------------------------------------------------------------


def test_cells_become_jobs(kernel, folder, monkeypatch):
    """A cell is written to a script beside the notebook and is a job of its workflow; run again it replaces both."""
    kernel("import os; os.environ['JPY_SESSION_NAME'] = 'deep/My notes.ipynb'")
    kernel("size, secret = [1, {'a': 'it\\'s {x}'}], 5")
    kernel("%load_ext cc_notebook")
    told = kernel.text('%%cc job fetch --bash --with size timeout=10m\necho "$size" > fetched.txt')
    assert told == "job fetch is fetch.sh, in My notes.yaml (jobs: 1); run: %cc run 'My notes.yaml'"
    code = "from cc_notebook import progress\nprogress(50, text=size[1]['a'], seen='secret' in globals())"
    kernel("%%cc job train --after fetch --with size\n" + "raise SystemExit(1)")
    kernel("%%cc job train --after fetch --with size\n" + code)
    flow = Workflow("My notes.yaml")
    assert flow.nodes == {
        "fetch": {"script": "fetch.sh", "timeout": "10m"},
        "train": {"script": "train.py", "after": "fetch"},
    }
    assert flow()["train"] == {"text": "it's {x}", "seen": False}
    assert json.loads((folder / "fetched.txt").read_text()) == [1, {"a": "it's {x}"}]


def test_a_cell_may_begin_with_the_future(kernel, folder):
    """The values of variables come after `from __future__`, which Python wants before all else."""
    kernel("size = 3\n%load_ext cc_notebook")
    code = '"""What it does."""\nfrom __future__ import (\n    annotations,\n)\n'
    kernel(f"%%cc job a --with size\n{code}from cc_notebook import progress\nprogress(9, size=size, told=__doc__)")
    kernel(f"%%cc job b --with size\n{code}")
    assert Workflow("notebook.yaml")()["a"] == {"size": 3, "told": "What it does."}


WRONG = {
    "train\nfor x in": "invalid syntax",
    "train --bash\nif true": "unexpected end of file",
    "train --after nosuch\n1": "nosuch",
    "train --with sise\n1": "did you mean 'size'?",
    "train --with kind\n1": "give numbers, texts, lists or dicts",
    "../x\n1": "which cannot stand there",
    "json\n1": "is the name of a module of Python",
    "mine\n1": "is a file of yours",
    "\n1": "Missing argument 'NAME'",
}


def test_a_wrong_cell_is_told_at_once(kernel, folder):
    """What is wrong with a cell that is to be a job is told when the cell runs, and no workflow is written."""
    (folder / "mine.py").write_text("print('my own')\n")
    kernel("size, kind = 3, object()\n%load_ext cc_notebook")
    for cell, told in WRONG.items():
        assert told in kernel.fails(f"%%cc job {cell}")
    assert "write %%cc job NAME" in kernel.fails("%%cc run\n1")
    assert not (folder / "notebook.yaml").exists()
    assert (folder / "mine.py").read_text() == "print('my own')\n"


ANEW = "import sys\nfor one in [one for one in sys.modules if one.startswith('cc_notebook')]: del sys.modules[one]"


def test_what_is_live_is_told_at_the_beginning(kernel, folder):
    """Importing says in one line what is live here, once, and not in a notebook that a job executes."""
    assert kernel.text("import cc_notebook, cc_notebook.magics\n%load_ext cc_notebook") == ""  # it has been said
    assert kernel.text(f"{ANEW}\nfrom cc_notebook import Workflow") == showing.LIVE
    missing = f"{ANEW}\nsys.modules['ipycytoscape'] = None\nimport cc_notebook"
    assert kernel.text(missing) == showing.LOST.format("ipycytoscape")
    assert kernel.text(f"{ANEW}\nimport os\nos.environ['CC_JOB_DIR'] = '.'\nimport cc_notebook") == ""


@pytest.mark.parametrize("words", [["-c"], ["-m", "IPython", "--no-banner", "-c"]])
def test_nothing_is_told_elsewhere(folder, words):
    """A script and a terminal hear nothing of it, and who has not imported IPython does not by us."""
    code = (
        "import sys; before = 'IPython' in sys.modules; import cc_notebook; assert before == ('IPython' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, *words, code], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, "", "")


def test_the_whole_command_line_is_a_magic(kernel, folder):
    """`%cc` runs any command in the notebook's folder; an error is its own text and no traceback."""
    kernel("%load_ext cc_notebook\n%cc new demo")
    assert "done" in kernel.text("%cc run demo.yaml")
    assert "error: there is no run 'nosuch'" in kernel.text("%cc show nosuch")


def test_the_tutorial_works(folder):
    """What is stored in it shows the graph as it was after each cell; executed, it ends with all jobs' outputs."""
    book = nbformat.read(Path(__file__).parent.parent / "notebooks" / "tutorial.ipynb", 4)
    outputs = [output.get("data", {}) for cell in book.cells for output in cell.get("outputs", [])]
    stills = [data["text/html"] for data in outputs if "text/html" in data]
    signs = [re.findall("[·✓✗]", picture(html)) for html in stills]
    assert ["".join(sorted(told)) for told in signs] == ["····", "✓✓✓✗", "✓✓✓✓"]
    assert not any("No widget answers" in html for html in stills)
    assert WIDGET not in str(book) and "widgets" not in book.metadata
    NotebookClient(book, timeout=60, resources={"metadata": {"path": str(folder)}}).execute()
    assert "'share': 0.5125" in book.cells[-2].outputs[0]["data"]["text/plain"]
    assert [run.state for run in Workflow(str(folder / "tutorial" / "tutorial.yaml")).runs()] == ["done"]


# ---- what is drawn --------------------------------------------------------------------------------------------------


def run_of(names, edges):
    """The state of a run of a graph, made without files."""
    flow = Workflow(name="w")
    for name in names:
        flow.add_job(name, exec="true")
    for edge in edges:
        flow.add_dependencies(list(edge))
    return RunState(flow.model())


MANY = range(900)
GRAPHS = {
    "siblings": (["a", *(f"b{n}" for n in MANY), "z"], [e for n in MANY for e in (("a", f"b{n}"), (f"b{n}", "z"))]),
    "columns": ([f"{c}{n}" for c in "ab" for n in MANY], [(f"a{n}", f"b{n}") for n in MANY]),
    "chain": ([f"c{n}" for n in MANY], [(f"c{n}", f"c{n + 1}") for n in MANY[:-1]]),
    "alone": ([f"d{n}" for n in MANY], []),
}


@pytest.mark.parametrize("kind", GRAPHS)
def test_a_large_graph_is_drawn_in_few_boxes(folder, kind):
    """At most 300 boxes without a cycle, each job in one of them; opening box after box leads to every job."""
    run = run_of(*GRAPHS[kind])
    todo, seen = [()], set()
    while todo:
        flow, state = drawing.shown(run, todo.pop())
        assert len(flow.jobs) <= drawing.MOST
        assert graph.cycle(list(flow.jobs), list(flow.edges)) == []
        for name in flow.jobs:
            if inside := state.flow.members.get(name):
                todo.append(inside)
            else:
                seen.add(name)
    assert seen == set(run.jobs)


def test_boxes_show_counts_and_the_worst_state(folder):
    """A box that stands for many tells how many are in each state, and has the colour of what needs a look."""
    run = run_of(*GRAPHS["siblings"])
    for n in range(900):
        run.jobs[f"b{n}"] = JobStatus("done" if n % 2 else "ready", 100 * (n % 2))
    flow, state = drawing.shown(run)
    (box,) = [name for name in flow.jobs if name in state.flow.members]
    assert list(flow.jobs) == ["a", box, "z"] and state.jobs[box].state == "running" and state.jobs[box].progress == 50
    run.jobs["b7"] = JobStatus("failed")
    state = drawing.shown(run)[1]
    assert state.jobs[box].state == looks(state)[box] == "failed"


def test_a_failed_run_with_a_loop_is_drawn(folder):
    """What a failure keeps from running is shown as blocked also where the members of a loop are boxes of their own."""
    flow = Workflow(name="w")
    flow.add_job("sweep", exec="true", foreach={"x": [1, 2]})
    flow.add_job("bad", exec="exit 3") >> flow.add_job("last", exec="true")
    drawn = svg(*drawing.shown(flow.run().wait().refresh()))
    assert "sweep[x=2]: done" in drawn and "last: blocked" in drawn


def test_places_are_those_of_the_picture(folder):
    """Every box has the centre and the size of its shape in the picture, whatever the shape."""
    flow = Workflow(name="w")
    for name in ("box", "ellipse", "diamond", "none", "record", "doublecircle", "house"):
        flow.add_job(name, exec="true", shape=name)
    found = drawing.places(flow.model(), RunState(flow.model()))
    assert len({place[0] for place in found.values()}) == 7
    assert all(10 < wide < 200 and 10 < high < 200 for _, _, wide, high in found.values())


def test_wide_ranks_are_folded(folder):
    """Many jobs side by side lie in rows that fit a screen, none over another, and below the job before them."""
    run = run_of(["a", *(f"b{n}" for n in range(200))], [("a", f"b{n}") for n in range(200)])
    found = drawing.places(*drawing.shown(run))
    across, down = ([place[side] for place in found.values()] for side in (0, 1))
    assert 1 < (max(across) - min(across)) / (max(down) - min(down)) < 3
    assert min(place[1] for name, place in found.items() if name != "a") > found["a"][1] + 30
    rows = [(x, y) for x, y, _, _ in found.values()]
    assert len(set(rows)) == 201 and max(place[2] for place in found.values()) < 110


def test_long_graphs_are_folded(folder):
    """A chain lies in columns that lead down and up in turn: no box over another, and each beside the one before it."""
    run = run_of(*GRAPHS["chain"])
    found = list(drawing.places(*drawing.shown(run)).values())
    across, down = ([place[side] for place in found] for side in (0, 1))
    assert len(found) == 30 and 1 < (max(across) - min(across)) / (max(down) - min(down)) < 3
    wide, high = max(place[2] for place in found), max(place[3] for place in found)
    steps = [(abs(a[0] - b[0]), abs(a[1] - b[1])) for a, b in itertools.pairwise(found)]
    assert all((x < 1 and high < y < 3 * high) or (y < 1 and wide < x < 2 * wide) for x, y in steps)


def test_a_box_has_room_for_counts(folder):
    """The box of a loop, and of many alike, is as wide as what it will say of its members."""
    flow = Workflow(name="w")
    flow.add_job("t", exec="true", foreach={"x": [1, 2]})
    for n in range(400):
        flow.add_job(f"u{n}", exec="true", after="t")
    places = drawing.places(*drawing.shown(RunState(flow.model())))
    assert len(places) == 2 and all(wide > 120 for _, _, wide, _ in places.values())


def test_a_style_is_the_border(kernel, folder):
    """Graphviz's dashed, dotted and bold are how a box's border looks."""
    kernel("w = Workflow(name='w')")
    for name, style in (("a", "'filled,dashed'"), ("b", "'dotted, bold'"), ("c", None)):
        kernel(f"w.add_job('{name}', exec='true', style={style}, shape='Mcircle'); None")
    kernel("w")
    told = kernel.text("print([(n.data['line'], n.data['border']) for n in view.of(w).graph.nodes.values()])")
    assert told == "[('dashed', 1.2), ('dotted', 3), ('solid', 1.2)]"


def test_shapes_have_a_nearest_one(folder):
    """Each shape of the table is used once; markers are diamonds and unknown shapes rectangles."""
    words = [word for words in SHAPES.values() for word in words.split()]
    assert len(words) == len(set(words))
    flow = Workflow(name="w")
    flow.add_job("a", exec="true", shape="Mdiamond") >> flow.add_job("b", exec="true", shape="nosuch")
    flow.add_dependency("start", "a")
    assert sorted(shape(job) for job in flow.model().jobs.values()) == ["diamond", "diamond", "round-rectangle"]
