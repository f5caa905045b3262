"""The live graph in JupyterLab, in the system's Chromium: how soon it is there, how soon it follows, what it costs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median

import graphs
import nbformat
from playwright.sync_api import Browser, Error, sync_playwright
from table import Row, limit
from tools import BenchError, Tools, answers, cli, environment, events, our_environment, text_of, until

CLICKS = 10
PARALLEL, PAUSE = 4, 0.34  # jobs at a time, each this long: 20 changes of a job's state a second
STATES = {"start": "running", "done": "done"}  # of a job, by its event
TOLD = (*STATES, "submit", "progress")  # what a box shows
ROOT = "while [ ! -e go ]; do sleep 0.05; done"
BEGIN = "import os, IPython; open('pid', 'w').write(str(os.getpid()))"
SHOW = "from cc_notebook import Workflow\nw = Workflow('bench.yaml')\nw"
IDLE = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
# In the page: `cc` holds the moments at which something was seen, in ms, and of each job when it had another colour.
WATCH = """(() => {
    const cc = window.cc = { times: {}, seen: [], clicks: [] };
    const note = (name) => { cc.times[name] ??= Date.now(); };
    const painted = (then) => requestAnimationFrame(() => setTimeout(then));  // the frame with it has been drawn
    const look = () => {
        const image = document.querySelector('.cc-still img');
        if (image?.complete && image.naturalWidth > 50) painted(() => note('picture'));
        const cy = document.querySelector('.cc-graph .custom-widget')?._cyreg?.cy;
        const sized = document.querySelector('.cc-graph')?.style.height;  // first, for what follows takes a while
        const boxes = cc.jobs > 300 ? Math.max(2, cy?.nodes().length) : cc.jobs;  // a box may stand for many
        if (cy && sized && cy.nodes().length === boxes && cy.edges().length === boxes - 1) {
            const { x1, y1, x2, y2 } = cy.elements().renderedBoundingBox();
            if (Math.min(x1, y1, cy.width() - x2, cy.height() - y2) > 0) {  // all of it can be seen
                cc.cy = cy;
                cy.on('data', 'node', ({ target }) => {
                    const [name, state] = [target.data('label').split(/\s/)[1], target.data('state')];
                    painted(() => cc.seen.push([name, state, Date.now()]));
                });
                painted(() => note('graph'));
            }
        }
        if (cc.times.began && !cc.times.graph) requestAnimationFrame(look);
    };
    cc.begin = (jobs) => { cc.jobs = jobs; cc.times.began = Date.now(); look(); };
    document.addEventListener('pointerdown', () => { cc.pressed = Date.now(); }, true);
    cc.frame = () => new MutationObserver(() => painted(() => cc.clicks.push(Date.now() - cc.pressed)))
        .observe(document.querySelector('.cc-frame'), { attributes: true, attributeFilter: ['src'] });
})"""
RUN = """number => { const book = jupyterapp.shell.currentWidget.content;
    book.activeCellIndex = number; book.deselectAll(); jupyterapp.commands.execute('notebook:run-cell') }"""
RAN = """number => jupyterapp.shell.currentWidget.content.widgets[number].model.executionState === 'idle'
    && jupyterapp.shell.currentWidget.content.widgets[number].model.executionCount"""
PLACE = """name => { const box = document.querySelector('.cc-graph .custom-widget'), at = box.getBoundingClientRect();
    const node = cc.cy.nodes().filter(n => n.data('label').includes(name))[0].renderedPosition();
    return [at.x + node.x, at.y + node.y] }"""


def browser(tools: Tools, small: int, large: int, seconds: float, rounds: int) -> list[Row]:
    """A graph of `small`, one of `large` and one of ten times `small` jobs shown, and the large one run at 20 changes
    a second."""
    found: list[Row] = []
    with _lab(tools) as url, sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        if not path:
            raise BenchError("chromium is not installed: run tests/setup.sh")
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        try:
            for jobs, most in ((small, 2.5), (large, 5), (10 * small, 5)):
                times = [_times(tools, chromium, url, jobs, f"{jobs}-{number}") for number in range(rounds)]
                if jobs == large:
                    value = median(one["picture"] for one in times)
                    found.append(limit(f"notebook, {jobs} jobs: the picture is visible after", value, 1, "s", 2))
                value = median(one["graph"] for one in times)
                found.append(limit(f"notebook, {jobs:,} jobs: the live graph is there after", value, most, "s", 2))
            return found + _steered(tools, chromium, url, large, seconds)
        except Error as error:
            raise BenchError(f"in the browser: {error}") from error
        finally:
            chromium.close()


@contextmanager
def _lab(tools: Tools) -> Iterator[str]:
    """JupyterLab with our extension; ends with its kernels."""
    where = tools.work / "lab"
    where.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")
    env = our_environment(tools) | {name: str(where / name) for name in names} | {"JUPYTER_TOKEN": "bench"}
    words = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    words += [f"--ServerApp.root_dir={where}", "--ServerApp.port_retries=0", "--LabApp.news_url="]
    words += ["--ServerApp.jpserver_extensions={'cc_jupyter': True}", "--LabApp.expose_app_in_browser=True"]
    words += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with open(where / "log", "wb") as log:
        server = subprocess.Popen(words, cwd=where, env=environment(env), stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}/"
        until(lambda: answers(f"{url}api"), f"JupyterLab does not answer: see {where / 'log'}")
        yield url
    finally:
        server.terminate()
        server.wait(30)


def _times(tools: Tools, chromium: Browser, url: str, jobs: int, name: str) -> dict[str, float]:
    """Seconds from the start of a cell with `w` to what was seen."""
    shown = Shown(tools, chromium, url, jobs, name)
    try:
        return shown.show()
    finally:
        shown.close()


class Shown:
    """A notebook beside a workflow that nobody has drawn yet, in a page; its kernel has done nothing yet."""

    def __init__(self, tools: Tools, chromium: Browser, url: str, jobs: int, name: str) -> None:
        shutil.rmtree(tools.home / "pictures", ignore_errors=True)
        graph = graphs.lanes(jobs)
        self.jobs, self.folder = jobs, graphs.folder(tools.work / "lab" / name, graph, f"sleep {PAUSE}\n")
        file = graphs.workflow(self.folder, graph)
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("script: t.sh", f"exec: '{ROOT}'", 1), encoding="utf-8")
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in (BEGIN, SHOW)])
        book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(book, self.folder / "x.ipynb")
        self.messages: list[str] = []  # to the browser: `box` of one job, `comm` other of widgets, `more`
        self.page = chromium.new_page(viewport={"width": 1200, "height": 1000})
        self.page.on("websocket", lambda channel: channel.on("framereceived", self._received))
        self.page.goto(f"{url}lab/tree/{name}/x.ipynb?token=bench&reset")
        self._cell(0)
        self.pid = int((self.folder / "pid").read_text(encoding="utf-8"))
        self.page.evaluate(WATCH)

    def _received(self, frame: str | bytes) -> None:
        data = frame.encode() if isinstance(frame, str) else frame
        kind = "box" if b'"fill"' in data else "comm"
        self.messages.append(kind if b'"comm_msg"' in data else "more")

    def _cell(self, number: int) -> None:
        self.page.wait_for_function(IDLE)
        self.page.evaluate(RUN, number)
        self.page.wait_for_function(RAN, arg=number)

    def show(self) -> dict[str, float]:
        """Show the graph: seconds from the cell's start to what was seen."""
        self.page.wait_for_function(IDLE)
        self.page.evaluate(f"jobs => {{ cc.begin(jobs); ({RUN})(1); }}", self.jobs)
        self.page.wait_for_function("cc.times.graph && cc.times.picture")
        times = self.page.evaluate("cc.times")
        told = {word: (times[word] - times["began"]) / 1000 for word in ("picture", "graph")}
        print(f"  {self.jobs} jobs: {told}", file=sys.stderr, flush=True)
        return told

    def close(self) -> None:
        """End the kernel."""
        self.page.evaluate("window.jupyterapp?.serviceManager.sessions.shutdownAll()")
        self.page.close()

    def begun(self, env: Mapping[str, str]) -> Path:
        """Start a run whose first job waits for the file `go`, and wait until it is shown; the run's folder."""
        words = [*cli(), "run", "bench.yaml", "--max-parallel", str(PARALLEL), "--detach"]
        run = text_of(words, self.folder, env)
        self.page.wait_for_function("cc.seen.length")
        return Path(env["CC_HOME"]) / "runs" / run

    def quiet(self, seconds: float) -> int:
        """The messages in some seconds in which nothing happens."""
        self.page.wait_for_timeout(2000)  # what its start still brings
        before = len(self.messages)
        self.page.wait_for_timeout(1000 * seconds)
        return len([kind for kind in self.messages[before:] if kind != "more"])

    def share(self, seconds: float) -> float:
        """What the kernel takes of a processor meanwhile, in percent."""
        before, begin = self._processor(), time.monotonic()
        self.page.wait_for_timeout(1000 * seconds)
        return 100 * (self._processor() - before) / (time.monotonic() - begin)

    def _processor(self) -> float:
        words = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def clicks(self) -> list[float]:
        """After how many ms each click on a job opened its details."""
        self.page.locator(".cc-graph").scroll_into_view_if_needed()
        self.page.evaluate("cc.frame()")
        for number in range(1, CLICKS + 1):
            self.page.mouse.click(*self.page.evaluate(PLACE, f"j{number:05}"))
            self.page.wait_for_function("number => cc.clicks.length === number", arg=number)
            self.page.wait_for_timeout(200)
        found: list[float] = self.page.evaluate("cc.clicks")
        print(f"  clicks: {found}", file=sys.stderr, flush=True)
        return found


def _steered(tools: Tools, chromium: Browser, url: str, jobs: int, seconds: float) -> list[Row]:
    """A run that is seen from its start: at rest, then at about 20 changes a second, with clicks."""
    shown = Shown(tools, chromium, url, jobs, "steered")
    try:
        shown.show()
        run = shown.begun(our_environment(tools))
        rest = shown.quiet(seconds)
        before = len(shown.messages)
        (shown.folder / "go").touch()
        shown.page.wait_for_timeout(1000)
        share, clicks = shown.share(seconds), shown.clicks()
        shown.page.wait_for_function("jobs => cc.cy.nodes().every(n => n.data('state') === 'done')", timeout=120_000)
        seen: dict[tuple[str, str], float] = {}
        for name, state, moment in shown.page.evaluate("cc.seen"):
            seen.setdefault((name, state), moment / 1000)
        sent = shown.messages[before:].count("box")
    finally:
        shown.close()
    happened = events(run)
    moments = {(event["job"], STATES[event["type"]]): _at(event) for event in happened if event["type"] in STATES}
    delays = sorted(1000 * (seen[change] - moment) for change, moment in moments.items() if change in seen)
    if len(delays) < jobs:
        raise BenchError(f"of {len(moments)} changes of {jobs} jobs {len(delays)} were seen")
    flow = sorted(moments.values())[3:]  # without the job that waited
    what = f"notebook, {jobs} jobs, {len(flow) / (flow[-1] - flow[0]):.0f} changes a second"
    slow, changes = [click / 200 for click in clicks], [event for event in happened if event["type"] in TOLD]
    return [
        limit(f"{what}: a change is visible after (p95)", delays[len(delays) * 95 // 100], 300, "ms", 0),
        Row("the same: a click is answered after", f"{median(clicks):.0f} ms", "limit 200 ms", slow, 1.0, "≤ 200 ms"),
        limit("the same: the kernel's share of a core", share, 20, "%", 1),
        limit("the same: messages for each change of a job", sent / len(changes), 1, "", 2),
        Row("the same, at rest: messages of widgets", f"{rest}", "limit 0", [float(rest)], 0.0, "0"),
    ]


def _at(event: Mapping[str, str]) -> float:
    return datetime.fromisoformat(event["at"]).timestamp()
