"""What a user sees and does in a notebook: real JupyterLab and Notebook 7, in the system's Chromium."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest
import requests
import yaml
from conftest import ended, until, write
from test_house import ROOT
from test_widget import BAD_LABEL, HOSTILE, WAIT

from cc_notebook import Workflow

# Messages of others in the browser's console that are no errors of ours, each with its source
UPSTREAM = {
    "Unsatisfied version .* of shared singleton module @jupyter-widgets/base": "ipycytoscape 1.3.3 names old versions",
    "custom wheel sensitivity": "ipycytoscape 1.3.3 always sets one",
    "reading 'schema'|filebrowser:open-path": "Notebook 7.6, without JupyterLab's file browser",
    "Canceled future for create_subshell_request": "JupyterLab 4.6, when a kernel ends that it asked for one per comm",
    "Could not restore the debugger state": "JupyterLab 4.6, when a kernel restarts",
    "widget model not found": "jupyterlab_widgets 3.0, when a notebook is opened without the kernel that showed it",
}
CELLS = ["from cc_notebook import Workflow\nw = Workflow('w.yaml')\nw", "print('selected', w.selected)"]
BOXES = """() => [...document.querySelectorAll('.cc-graph .custom-widget')].filter(box => box._cyreg).map(box =>
    Object.fromEntries(box._cyreg.cy.nodes().map(n => [n.data('label'), n.style('background-color')])))"""
PLACE = """name => {const box = document.querySelector('.cc-graph .custom-widget'), at = box.getBoundingClientRect();
    const node = box._cyreg.cy.nodes().filter(n => n.data('label').includes(name))[0].renderedPosition();
    return [at.x + node.x, at.y + node.y]}"""
RULES = "document.querySelector('.cc-graph .custom-widget')._cyreg.cy.style().length"
GONE = """/^"The kernel[^,]*$/.test([...document.querySelectorAll('.jupyter-widgets-disconnected')].map(
    one => getComputedStyle(one, '::before').content).filter(text => text !== 'none'))"""
IDLE = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
RUN = """number => {const book = jupyterapp.shell.currentWidget.content;
    book.activeCellIndex = number; book.deselectAll(); jupyterapp.commands.execute('notebook:run-cell')}"""
FLOW = f"""workflow:
  nodes:
    a: {{exec: '{WAIT.format("go")}'}}
    b: {{exec: 'echo the log of b; {WAIT.format("on")}'}}
    c: {{exec: 'true'}}
  dependencies: ['a, b, c']
"""


class Lab:
    """JupyterLab with Notebook 7 on one server, with the extension."""

    def __init__(self, folder, extension=True):
        self.root, self.log = folder / "root", folder / "log"
        self.root.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/lab1/"
        names = ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")
        self.home = folder / "store"
        environment = os.environ | {name: str(folder / name) for name in names}
        environment |= {"CC_HOME": str(self.home), "JUPYTER_TOKEN": "secret"}
        words = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
        words += ["--ServerApp.base_url=/lab1", f"--ServerApp.root_dir={self.root}", "--ServerApp.port_retries=0"]
        words += [f"--ServerApp.jpserver_extensions={{'cc_jupyter': {extension}, 'notebook': True}}"]
        words += ["--LabApp.expose_app_in_browser=True", "--JupyterNotebookApp.expose_app_in_browser=True"]
        words += ["--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(words, env=environment, stdout=log, stderr=log, cwd=self.root)
        until(self._answers, 60)

    def _answers(self):
        try:
            return requests.get(f"{self.url}api", timeout=5).ok
        except requests.RequestException:
            assert self.process.poll() is None, self.log.read_text()
            return False


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One server for all tests of this file."""
    found = Lab(tmp_path_factory.mktemp("lab"))
    yield found
    found.process.terminate()
    found.process.wait(30)


class Notebook:
    """A notebook in a page of a browser of its own: another's cookies, storage and cache are not its."""

    def __init__(self, lab, browser, folder, app="lab/tree", name="x.ipynb"):
        self.lab, self.app, self.folder, self.name = lab, app, lab.root / folder, name
        self.folder.mkdir(exist_ok=True)
        self.page = browser.new_page(viewport={"width": 1200, "height": 1000})
        self.page.set_default_timeout(30_000)
        self.told = []
        self.page.on("console", lambda line: self.told.append(f"{line.type}: {line.text} {line.location}"))
        self.page.on("pageerror", lambda error: self.told.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.told.append(f"error: dialog {dialog.message}"))

    def open(self, cells):
        """Write the notebook and open it."""
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, self.folder / self.name)
        self.visit()

    def visit(self):
        """Load the page, and wait for the kernel."""
        self.page.goto(f"{self.lab.url}{self.app}/{self.folder.name}/{self.name}?token=secret&reset")
        self.page.wait_for_function(IDLE)

    def run(self, number):
        """Run a cell; it need not have ended."""
        chosen = (
            "{const book = jupyterapp.shell.currentWidget.content; book.activeCellIndex = number; book.deselectAll()}"
        )
        self.page.evaluate(f"number => {{{chosen}; jupyterapp.commands.execute('notebook:run-cell')}}", number)

    def command(self, name):
        """What a menu does."""
        self.page.evaluate("name => jupyterapp.commands.execute(name)", name)

    def boxes(self, number=0):
        """The labels of a graph's boxes, with their colours."""
        found = self.page.evaluate(BOXES)
        return found[number] if len(found) > number else {}

    def until(self, label, color=None):
        """Wait for a box."""
        until(
            lambda: (
                self.page.wait_for_timeout(50) or (color in (None, self.boxes().get(label)) and label in self.boxes())
            )
        )

    def click(self, name):
        """Click a box."""
        self.page.locator(".cc-graph").first.scroll_into_view_if_needed()
        self.page.mouse.click(*self.page.evaluate(PLACE, name))

    def button(self, verb):
        """Click a button."""
        self.page.locator(f".cc-{verb}:enabled").first.click()

    def clean(self):
        """No error in the console but those of others that are known; then the page is closed."""
        own = [line for line in self.told if line.startswith("error") and not re.search("|".join(UPSTREAM), line)]
        assert own == [], own
        self.page.close()


@pytest.fixture
def notebook(lab, browser, request, monkeypatch):
    """Opens a notebook beside a workflow file; the store is the server's."""
    monkeypatch.setenv("CC_HOME", str(lab.home))

    def opened(cells=CELLS, text=FLOW, app="lab/tree"):
        found = Notebook(lab, browser, request.node.name, app)
        write(found.folder, "w.yaml", text)
        found.open(cells)
        return found

    return opened


def of(book):
    """The runs of a notebook's workflow."""
    return list(Workflow(str(book.folder / "w.yaml")).runs())


def test_run_watch_click_cancel_and_retry(notebook):
    """A user runs, sees the colours change, clicks a job, cancels while a cell computes, and retries."""
    book = notebook([*CELLS, "import time\ntime.sleep(60)"])
    book.run(0)
    book.until("· a\n0%", "rgb(255,255,255)")
    still, widget = (book.page.locator(f".cc-{name}").first for name in ("still", "view"))
    assert widget.is_visible() and not still.is_visible()
    book.page.emulate_media(media="print")
    assert still.is_visible() and not widget.is_visible()  # a printed page has the picture
    book.page.emulate_media(media="screen")
    book.button("run")
    book.until("▶ a\n1%", "rgb(204,229,255)")
    (book.folder / "go").touch()
    book.until("✓ a\n100%", "rgb(204,255,204)")
    book.click("b")
    inside = book.page.frame_locator(".cc-frame")
    inside.locator("aside pre", has_text="the log of b").wait_for()  # the server's page, with this job opened
    assert not inside.locator(".two > :first-child").is_visible()  # no second graph
    book.run(1)
    book.page.wait_for_selector("text=selected b")
    book.run(2)
    book.page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='busy']")
    book.click("c")
    inside.get_by_role("heading", name="c", exact=True).wait_for()  # a click shows a job, although the kernel is busy
    book.button("cancel")
    until(lambda: of(book)[0].state == "cancelled")
    book.until("■ b\n1%", "rgb(255,229,204)")
    assert book.page.locator(".jp-Notebook-ExecutionIndicator[data-status='busy']").count() == 1
    (book.folder / "on").touch()
    book.button("retry")
    book.until("✓ c\n100%")
    assert [run.state for run in of(book)] == ["done"]
    book.command("notebook:interrupt-kernel")
    book.page.wait_for_function(IDLE)
    book.clean()


def test_it_survives_reload_restart_and_death(notebook):
    """Reloaded it is there again; after a restart Run All attaches; without a kernel there is the picture."""
    book = notebook([CELLS[0], "run = w.run()"])
    book.command("notebook:run-all-cells")
    book.until("▶ a\n1%")
    book.page.wait_for_function(IDLE)
    book.command("docmanager:save")
    book.page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
    book.visit()  # the kernel lives
    book.until("▶ a\n1%")
    book.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    book.page.wait_for_function(GONE)  # one sentence, no signs
    book.page.wait_for_function(IDLE)
    book.visit()  # with a new kernel process: what was saved is all there is
    book.page.wait_for_selector(".cc-still img")
    assert book.page.locator(".cc-still").first.is_visible()
    until(lambda: book.page.wait_for_timeout(50) or not book.page.locator("text=Error displaying widget").is_visible())
    book.command("notebook:run-all-cells")
    book.until("▶ a\n1%")
    (book.folder / "go").touch()
    (book.folder / "on").touch()
    book.until("✓ c\n100%")
    assert [run.state for run in of(book)] == ["done"]
    book.clean()


def kernel_of(book):
    """The id of the process that is a notebook's kernel now; 0 while there is none."""
    found = book.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.id")
    for told in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if f"kernel-{found}.json" in told.read_text() and not ended(told.parent.name):
                return int(told.parent.name)
    return 0


def test_the_tutorial_in_the_lab(lab, browser, monkeypatch):
    """A user goes through it; its kernel is killed; the page below the graph stays live; Run All finds the one run."""
    monkeypatch.setenv("CC_HOME", str(lab.home))
    book = Notebook(lab, browser, "tutorial", name="tutorial.ipynb")
    text = (ROOT / "notebooks" / book.name).read_text(encoding="utf-8")
    waits = "import os, time\\n    while not os.path.exists('on'): time.sleep(0.05)\\n"
    for old, new in (("sleep 1;", f"echo reading; {WAIT.format('go')};"), ("import time\\n", waits)):
        assert old in text
        text = text.replace(old, new)
    write(book.folder, book.name, text)
    shutil.copytree(ROOT / "notebooks" / "pictures", book.folder / "pictures")
    book.visit()
    shows, place = [n for n, cell in enumerate(json.loads(text)["cells"]) if cell["cell_type"] == "code"], book.folder
    book.run(shows[0])
    book.until("· report\n0%", "rgb(255,255,255)")
    book.button("run")
    book.until("▶ fetch\n1%", "rgb(204,229,255)")
    book.click("fetch")
    inside = book.page.frame_locator(".cc-frame")
    inside.locator("aside pre", has_text="reading").wait_for()
    killed = kernel_of(book)
    os.kill(killed, signal.SIGKILL)
    (place / "tutorial" / "go").touch()
    inside.locator("aside .why", has_text="✓ done").wait_for()  # no cell runs, there is no kernel even
    inside.locator("tbody tr", has_text="mean").locator(".running").first.wait_for()
    until(lambda: book.page.wait_for_timeout(50) or kernel_of(book) not in (0, killed))
    book.page.wait_for_function(IDLE)
    book.page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")  # a cell waits for the run
    book.until("▶ mean\n1%", "rgb(204,229,255)")
    assert book.boxes()["✓ fetch\n100%"] == "rgb(204,255,204)"
    (place / "tutorial" / "on").touch()
    book.page.get_by_text("{'share': 0.5125}").wait_for()
    book.page.get_by_text("NameError: name 'tip' is not defined").wait_for()
    book.until("✓ report\n100%", "rgb(204,255,204)")
    (run,) = Workflow(str(place / "tutorial" / "tutorial.yaml")).runs()
    assert run.state == "done" and [run.status(job)["attempt"] for job in ("fetch", "report")] == [1, 2]
    book.clean()


def test_a_widget_is_closed_and_a_run_removed(notebook):
    """A widget that is closed during a run, one whose run is removed: nothing in the console, and the run goes on."""
    close = "from cc_notebook.widget import view\nview.of(w).close()"
    book = notebook([CELLS[0], "run = w.run()", close, "w", "from cc_notebook import keeping\nkeeping.remove(run)"])
    for number in range(2):
        book.run(number)
    book.until("▶ a\n1%")
    book.click("a")
    book.page.frame_locator(".cc-frame").locator("aside .why", has_text="running").wait_for()
    book.run(2)
    until(lambda: book.page.wait_for_timeout(50) or book.boxes() == {})
    book.run(3)
    book.until("▶ a\n1%")
    (book.folder / "go").touch()
    (book.folder / "on").touch()
    book.until("✓ c\n100%")
    book.click("b")
    book.page.frame_locator(".cc-frame").last.locator("aside pre", has_text="the log of b").wait_for()
    book.button("page-run")  # a page that asks for a run in the moment of its removal is told so, by a 404
    book.page.locator(".cc-frame").last.wait_for(state="hidden")
    book.run(4)
    book.until("· c\n0%", "rgb(255,255,255)")
    assert of(book) == []
    book.clean()


def test_two_browsers_two_notebooks_and_two_cells_show_the_same(lab, browser, notebook):
    """The same `w` in two cells and in another browser, its run in another notebook: one state, no thread left."""
    first = "import threading\nbefore = set(threading.enumerate())\n"
    last = """import threading
from cc_notebook.widget import view
more = [one for one in set(threading.enumerate()) - before if 'ipykernel' not in type(one).__module__]  # its subshells
view.of(w).close()
[thread.join(10) for thread in more]
print('threads', [thread.name for thread in more], [thread.name for thread in more if thread.is_alive()])"""
    cells = [first + CELLS[0], "w", "run = w.run()", last]
    book = notebook(cells)
    for number in range(3):
        book.run(number)
    book.until("▶ a\n1%")
    until(lambda: book.page.wait_for_timeout(50) or book.boxes(1) == book.boxes(0))
    rules = book.page.evaluate(RULES)
    book.command("docmanager:save")
    book.page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
    beside, second = (Notebook(lab, browser, book.folder.name, name=name) for name in ("x.ipynb", "y.ipynb"))
    beside.visit()  # the kernel is the same
    second.open([cells[0], cells[3]])
    second.run(0)
    for one in (beside, second):
        one.until("▶ a\n1%")
    book.page.set_viewport_size({"width": 900, "height": 1000})
    (book.folder / "go").touch()
    for one in (book, beside, second):
        one.until("✓ a\n100%", "rgb(204,255,204)")
    beside.button("cancel")
    for one in (book, beside, second):
        one.until("■ b\n1%", "rgb(255,229,204)")
        assert one.page.locator(".cc-state").first.inner_text() == "cancelled"
    assert book.boxes() == book.boxes(1) == beside.boxes() == beside.boxes(1) == second.boxes()
    assert book.page.evaluate(RULES) == rules  # another size is no other look
    for one, cell in ((book, 3), (second, 1)):
        one.run(cell)
        one.page.wait_for_selector("text=threads ['cc-notebook'] []")
    assert [run.state for run in of(book)] == ["cancelled"]
    for one in (book, beside, second):
        one.clean()


def test_the_editor_below_the_graph_changes_it(notebook):
    """Edit shows the file's text below the graph; what is applied there is shown above, and is `w`."""
    book = notebook([CELLS[0], "print('jobs', *w.nodes)"])
    book.run(0)
    book.until("· c\n0%")
    book.button("page-edit")
    inside = book.page.frame_locator(".cc-frame")
    until(lambda: "nodes:" in inside.locator("textarea[aria-label=YAML]").input_value())
    assert inside.locator("body").evaluate("() => scrollY") == 0  # it begins at its top
    inside.locator("textarea[aria-label=YAML]").fill(FLOW.replace("'a, b, c'", "'a, b, c, a'"))
    inside.locator(".problems", has_text="a → b → c → a").wait_for()
    inside.locator("textarea[aria-label=YAML]").fill(
        FLOW.replace("    c:", "    last:").replace("a, b, c", "a, b, last")
    )
    book.button("run")
    book.button("page-edit")
    book.page.locator(".cc-line", has_text="changes that are not applied").wait_for()
    inside.locator("button", has_text="Apply").click()
    book.until("· last\n0%")
    assert of(book) == []
    book.run(1)
    book.page.wait_for_selector("text=jobs a b last")
    book.clean()


def test_what_is_shown_is_what_runs(notebook):
    """Run executes the workflow that is shown, with the job that its file does not have, which stays in the graph."""
    text = "workflow:\n  nodes:\n    a: {exec: 'true'}\n"
    book = notebook([CELLS[0], "w.add_job('extra', exec='true'); None"], text=text)
    book.run(0)
    book.until("· a\n0%")
    book.page.wait_for_selector(".cc-top[data-by=server]")
    book.run(1)
    book.until("· extra\n0%")
    book.page.locator(".cc-title", has_text="w (not saved)").first.wait_for()
    book.button("run")
    book.until("✓ extra\n100%")
    assert [sorted(run.refresh().jobs) for run in of(book)] == [["a", "extra"]]
    book.clean()


def test_what_cannot_be_done_says_why(lab, browser, notebook, tmp_path):
    """Edit cannot be pressed where the file, or the server's part, is missing, and says so; a line tells what lives."""
    book = notebook(["from cc_notebook import Workflow\nw = Workflow(name='w')\nw.add_job('a', exec='true')\nw"])
    book.run(0)
    book.page.wait_for_selector(".cc-page-edit:disabled[title^='save() the workflow']")
    assert book.page.locator(".cc-line").first.inner_text() == ""
    book.clean()
    bare = Lab(tmp_path, extension=False)
    try:
        book = Notebook(bare, browser, "bare")
        write(book.folder, "w.yaml", "workflow:\n  nodes:\n    a: {exec: 'true'}\n")
        book.open([CELLS[0]])
        book.run(0)
        book.page.wait_for_selector(".cc-page-edit:disabled[title='needs the server extension: jupyter cc doctor']")
        book.page.locator(".cc-line", has_text="server pages no (buttons wait for the kernel)").first.wait_for()
        book.button("run")
        book.until("✓ a\n100%")
        book.clean()  # nobody was asked who does not answer
    finally:
        bare.process.terminate()
        bare.process.wait(30)


def test_nothing_from_data_is_executed(notebook):
    """In Notebook 7, in the dark: names, labels and logs with markup and control characters are texts."""
    job = {"label": BAD_LABEL, "exec": "printf '<script>document.title=\"bad\"</script>\\033[31m'; exit 3"}
    text = yaml.safe_dump({"workflow": {"nodes": {HOSTILE: job}}})
    book = notebook([*CELLS, "w.run().wait()"], text=text, app="notebooks")
    book.page.evaluate("jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    book.page.wait_for_selector("body[data-jp-theme-light='false']", state="attached")
    book.run(0)
    until(lambda: book.page.wait_for_timeout(50) or book.boxes())
    book.run(2)
    until(lambda: book.page.wait_for_timeout(50) or any("✗" in label for label in book.boxes()))
    (label,) = book.boxes()
    assert "<script>" in label and "<img" in label and "\x1b" not in label and "\u202e" not in label
    assert book.boxes()[label] == "rgb(85,32,32)"
    book.click("script")
    book.page.wait_for_timeout(500)
    assert book.page.title() != "bad" and book.page.locator("img[src='x']").count() == 0
    book.clean()


def test_a_converted_notebook_shows_the_graph(lab, browser, notebook, folder):
    """`jupyter nbconvert --execute --to html`, opened without a network, shows the picture once, and no error."""
    path = lab.root / "converted"
    path.mkdir()
    write(path, "w.yaml", FLOW)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELLS[0])])
    nbformat.write(book, path / "x.ipynb")
    words = [sys.executable, "-m", "nbconvert", "--execute", "--to", "html", "x.ipynb"]
    done = subprocess.run(words, cwd=path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    page = browser.new_page(offline=True)
    page.goto((path / "x.html").as_uri())
    assert page.evaluate("[...document.querySelectorAll('.cc-still img')].map(image => image.naturalWidth > 50)") == [
        True
    ]
    page.emulate_media(media="print")
    assert page.locator(".cc-still img").is_visible()
    assert page.locator("text=3 jobs as a table").is_visible() and "Error" not in page.inner_text("body")
    page.close()
