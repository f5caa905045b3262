"""The page `cc/` in a real browser, on a real server: the whole story of a user, and what strangers put into names."""

import ast
import io
import json
import re
import subprocess
import sys
import zipfile

import pytest

pytest.importorskip("pytest_jupyter", reason="needs the test extra: pip install -e '.[test]'")
import requests
from conftest import until
from playwright.sync_api import expect
from sshd import listens
from test_house import README
from test_service import PAGES, Server
from test_serving import free_port


@pytest.fixture(params=["", "/user/alice"], scope="module")
def server(request, tmp_path_factory):
    """A server at the root, and one as a Hub starts it."""
    found = Server(tmp_path_factory.mktemp("server"), below=request.param)
    yield found
    found.kill()


BELOW = pytest.mark.parametrize("server", ["/user/alice"], indirect=True)


def pages(server):
    """Where the pages are."""
    return f"{server.base}/cc/"


# What a browser writes into its console although all is well.
EXPECTED = (
    "ERR_CONNECTION_REFUSED",  # the server was killed
    "ERR_INCOMPLETE_CHUNKED_ENCODING",  # in the middle of a stream
    "ERR_CONNECTION_RESET",  # or of an answer
    "status of 412",  # a refusal that the page tells
    "status of 422",  # another
    "status of 404",  # of a run that was removed while its page asked for it
)


@pytest.fixture
def page(server, browser):
    """A page of a user who has logged in, which must not have complained in the end."""
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    found, trouble = context.new_page(), []
    found.set_default_timeout(15_000)
    found.on("console", lambda it: trouble.append(it.text) if it.type in ("error", "warning") else None)
    found.on("pageerror", lambda error: trouble.append(str(error)))
    found.goto(f"{pages(server)}?token={server.token}")
    found.expected = EXPECTED  # a test may add what it alone brings about
    yield found
    context.close()
    assert [text for text in trouble if not any(known in text for known in found.expected)] == []


def press(page, name):
    """Click the button of this name, or what looks like one."""
    page.get_by_role("button", name=name, exact=True).click()


def badge(page, text):
    """Wait for the state of the run."""
    page.locator(".badge", has_text=text).wait_for()


# The code of each action that is offered, by its name and kind; the names of all buttons that ask for something; and
# every control that has no name.
CODES = """() => {
    const seen = (query) => [...document.querySelectorAll(query)].filter(it => it.checkVisibility()), told = {};
    for (const more of seen("[aria-label='Copy as code']")) {
        more.click();
        const box = document.querySelector("dialog[open]"), which = box.querySelector("select");
        for (const { value, text } of which.options) {
            which.value = value;
            which.dispatchEvent(new Event("change"));
            const texts = (it) => [it.querySelector("figcaption").firstChild.data, it.querySelector("pre").textContent];
            told[text] = Object.fromEntries([...box.querySelectorAll("figure")].map(texts));
        }
        box.close();
    }
    const name = (it) => it.ariaLabel || it.labels?.[0]?.textContent || it.textContent;
    const mute = seen("button, input, select, textarea, a").filter(it => !name(it).trim());
    const names = seen("[role=group] button, .author button, .chips button");
    return [told, names.map(name), mute.map(it => it.outerHTML)];
}"""
HERE = {"Copy as code", "+ Job", "Edit job", "Reload", "Close", "Notify me"}  # what asks the server for no change


def codes(page):
    """The code of each action that is offered: curl, and Python that can be read or a command that is there."""
    told, names, mute = page.evaluate(CODES)
    assert mute == []  # each control tells its name to a screen reader
    assert set(names) - HERE - {"Open"} <= set(told)
    for name, texts in told.items():
        assert texts["curl"].startswith("curl -X ") and {"Python", "CLI"} & set(texts), name
        ast.parse(texts.get("Python", ""))
        assert all(word in README for word in re.findall(r"^jupyter cc \w+", texts.get("CLI", ""))), name
    return told


def upload(page, server, name, nodes, **files):
    """Choose a zip with a workflow and its files on the start page; the page of the workflow follows."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(f"{name}.yaml", json.dumps({"workflow": {"nodes": nodes}}))
        for file, text in files.items():
            archive.writestr(file.replace("_", "."), text)
    page.goto(pages(server))
    zipped = {"name": f"{name}.zip", "mimeType": "application/zip", "buffer": data.getvalue()}
    page.locator("input[type=file]").set_input_files(zipped)
    page.get_by_role("heading", name=name, level=1).wait_for()


def test_a_page_is_only_for_users_and_takes_nothing_from_elsewhere(server):
    """Without a login there is no page; with one it comes with a policy that allows this server's files alone."""
    for path in PAGES[:-1]:
        stranger = requests.get(pages(server) + path, allow_redirects=False, timeout=9)
        assert stranger.status_code == 302 and f"{server.below}/login" in stranger.headers["Location"]
        page = requests.get(pages(server) + path, headers={"Authorization": f"token {server.token}"}, timeout=9)
        assert page.ok and f'<base href="{server.below}/cc/">' in page.text and "_xsrf" in page.cookies
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'self'" in policy and "unsafe" not in policy
    themed = requests.get(pages(server), params={"theme": '"><script>', "token": server.token}, timeout=9).text
    assert "<script>" not in themed and themed.count("<script") == 1


@BELOW
def test_what_the_page_asks_for(server):
    """A template with its loop: the graph of its run as JSON, open, and as it was; the files that a job left."""
    assert server("POST", "workflows?name=asked", 201, json={"template": "example"}).json()["name"] == "asked"
    server("POST", "workflows", 422, json={"template": "exampel"})
    run = server("POST", "runs?wait=60", json={"workflow": "asked", "params": {"rates": [1, 2]}}).json()["run"]
    graph = server("GET", f"runs/{run}/graph.json").json()
    nodes = {node["name"]: node for node in graph["nodes"]}
    assert (nodes["compute"]["loop"], nodes["compute"]["members"]) == (True, 2)
    assert nodes["compute[rate=1]"]["group"] == "compute" and graph["params"]["rates"] == [1, 2]
    assert ["fetch-data", "compute"] in graph["edges"]
    drawn = [server("GET", f"runs/{run}/graph.svg{query}").text for query in ("", "?open=compute", "?open=x", "?seq=1")]
    assert ["compute[rate=2]: done" in text for text in drawn] == [False, True, False, False]
    assert "end: done" in drawn[0] and "end: ready" in drawn[3]
    files = server("GET", f"runs/{run}/jobs/check/files").json()["files"]
    assert [file["name"] for file in files] == ["check.log"] and files[0]["bytes"] > 5
    server("GET", f"runs/{run}/jobs/chek/files", 404)


# A browser that grants what it is asked for, and keeps what it is to show.
NOTIFIED = """window.notes = [];
window.Notification = class {
    static permission = "default";
    static async requestPermission() { return this.permission = "granted"; }
    constructor(title, { body }) { window.notes.push([title, body]); }
};"""


def test_the_story_of_the_example(server, page):
    """Example, params, dry run, run; the server is killed and comes back; timeline, results, log, code and replay."""
    assert "token" not in page.url
    assert {"New from Example", "Upload", "Open"} == set(codes(page))
    page.add_init_script(NOTIFIED)
    press(page, "New from Example")
    page.get_by_role("heading", name="example", level=1).wait_for()
    kinds = [page.get_by_label(name).get_attribute("type") for name in ("rows", "rates (JSON)", "careful")]
    assert kinds == ["number", None, "checkbox"]
    page.get_by_label("rows").fill("7")
    press(page, "Dry run")
    page.get_by_text("6 jobs would run: start, fetch-data,").wait_for()
    press(page, "Run")
    press(page, "Notify me")
    page.locator(".node.running").first.wait_for()
    assert "progress=0" in page.locator(".node.waiting").all_text_contents()[-2]
    server.kill()
    page.get_by_text("reconnecting…").wait_for()
    press(page, "Pause")
    page.get_by_text("the server cannot be reached").wait_for()
    server.start()
    badge(page, "✓ done")
    page.get_by_text("reconnecting…").wait_for(state="hidden")
    page.get_by_text("the server cannot be reached").wait_for(state="detached")
    page.locator(".node.done").nth(5).wait_for()
    page.get_by_text("100% of 8 jobs").wait_for()
    run = page.url.rpartition("/")[2]
    assert page.title() == "✓ example: done" and page.evaluate("window.notes") == [["example: done", run]]
    assert not page.get_by_role("button", name="Notify me").is_visible()

    group = page.get_by_role("button", name="compute: done")
    assert group.get_attribute("aria-expanded") == "false"
    group.press("Enter")
    page.get_by_role("button", name="compute[rate=0.01]: done").wait_for()
    assert page.evaluate("document.activeElement.ariaLabel") == "compute: done"
    assert page.locator("tbody th").all_inner_texts()[2:4] == ["▾\ncompute", "compute[rate=0.1]"]
    fold = page.get_by_role("button", name="Members of compute")
    for opened in (False, True):
        fold.press("Enter")
        page.locator(f"tbody [aria-expanded={str(opened).lower()}]").wait_for()
        assert page.evaluate("document.activeElement.ariaLabel") == "Members of compute"
    press(page, "Timeline")
    page.locator(".ran").nth(7).wait_for()
    assert page.locator(".critical").count() >= 4
    (log,) = (path for path in server.home.glob(f"workflows/*/*-runs/{run}/*.log") if "[rate=0.1]" in path.name)
    log.with_suffix(".ipynb").write_text("{}")  # as an executed notebook leaves it
    press(page, "Results")
    page.get_by_role("button", name="Run this row again").nth(2).wait_for()
    assert "compute[rate=" in codes(page)["Run this row again"]["CLI"]
    assert page.get_by_role("columnheader").all_inner_texts()[:4] == ["Job", "rate", "loss", "time (s)"]
    with page.expect_download() as executed:
        page.get_by_role("link", name="notebook", exact=True).click()
    assert executed.value.suggested_filename.endswith(".ipynb")
    with page.expect_popup() as shown:
        page.get_by_role("link", name="log", exact=True).nth(1).click()
    shown.value.get_by_text("loss=").wait_for()
    assert shown.value.url.endswith("/jobs/compute%5Brate%3D0.001%5D/log")
    shown.value.close()
    with page.expect_download() as csv:
        page.get_by_role("link", name="CSV").click()
    assert "compute[rate=0.001]" in csv.value.path().read_text()
    press(page, "Jobs")
    press(page, "fetch-data")
    page.get_by_label("Log").get_by_text("part 75 is here").wait_for()
    page.get_by_text("left the record of exit 0").wait_for()
    assert "rows\n7" in page.get_by_role("complementary", name="Job").inner_text()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "fetch-data"

    for name, ending, part in (("Download", "zip", "report.html"), ("Report", "html", run)):
        with page.expect_download() as saved:
            press(page, name)
        assert saved.value.suggested_filename == f"{run}.{ending}"
        assert part.encode() in saved.value.path().read_bytes()
    page.get_by_role("button", name="Copy as code").click()
    told = page.locator("dialog pre").all_inner_texts()
    assert "jupyter cc run example --param rows=7" in told[1] and server.token not in str(told)
    page.locator("dialog select").select_option("Report")
    assert f"jupyter cc report {run}" in page.locator("dialog pre").all_inner_texts()[1]
    page.keyboard.press("Escape")
    slider, end = page.get_by_label("Replay", exact=True), page.get_by_text("the end", exact=True)
    slider.fill("1")
    badge(page, "▶ running")
    page.get_by_text("0% of 8 jobs").wait_for()
    press(page, "▶ Replay")
    press(page, "❚❚ Pause")
    page.get_by_role("button", name="▶ Replay").wait_for()
    assert f", event {slider.input_value()} of" in page.locator(".past").inner_text() and not end.is_visible()
    press(page, "▶ Replay")
    end.wait_for()
    badge(page, "✓ done")
    slider.fill("2")
    badge(page, "▶ running")
    press(page, "Now")
    badge(page, "✓ done")


# Collects each moment in which a job's colour, symbol and label do not say the same.
TOGETHER = """() => {
    const told = node => [...node.querySelectorAll("text")].map(text => text.textContent).join(" ");
    const fits = node => [told(node).includes("✓"), told(node).includes("100%")]
        .every(done => done === node.classList.contains("done"));
    const odd = () => [...document.querySelectorAll(".node")].filter(node => !fits(node)).map(told);
    const look = () => window.odd.push(...odd());
    window.odd = [];
    const what = { subtree: true, childList: true, attributes: true, characterData: true };
    new MutationObserver(look).observe(document.querySelector(".canvas"), what);
}"""


def test_upload_run_cancel_and_retry(server, page):
    """An upload does not run by itself; a job is watched, cancelled and tried again, and so is one that failed."""
    go = server.root / f"go-{server.port}"
    port = free_port()
    wait = f'echo "waiting"; [ -e {go} ] || exec {sys.executable} -m http.server {port} --bind 127.0.0.1'
    bad = {"exec": "echo try ${CC_ATTEMPT##*-}; exit 3"}
    nodes = {"wait": {"script": "wait.sh", "port": port}, "bad": bad, "later": {"exec": "true", "after": "wait"}}
    upload(page, server, "slow", nodes, wait_sh=wait)
    assert server.plain("GET", "runs?workflow=slow").json()["total"] == 0
    press(page, "Run")
    page.get_by_role("button", name="wait: running").wait_for()
    press(page, "later")
    page.get_by_text("· waiting 0% · waits for wait").wait_for()
    press(page, "Close")
    page.locator("tr", has_text="later").get_by_text("· waiting").wait_for()
    press(page, "Timeline")
    page.locator(".critical .ran.running").wait_for()
    rows = server.plain("GET", f"runs/{page.url.rpartition('/')[2]}/graph.json").json()["nodes"]
    assert {row["name"]: row["state"] for row in rows}["later"] == "waiting"  # as in the terminal's table
    press(page, "Jobs")
    press(page, "wait")
    page.get_by_label("Log").get_by_text("waiting").wait_for()
    until(lambda: listens(port))
    with page.expect_popup() as served:
        page.get_by_role("link", name="open what it serves").click()
    served.value.get_by_role("heading", name="Directory listing").wait_for()
    assert served.value.url == f"{server.base}/proxy/{port}/"
    served.value.close()
    press(page, "Cancel job")
    page.get_by_role("button", name="wait: cancelled").wait_for()
    page.get_by_role("link", name="open what it serves").wait_for(state="hidden")
    badge(page, "✗ failed")
    page.evaluate(TOGETHER)
    go.touch()
    press(page, "Retry job")
    page.get_by_role("button", name="wait: done").wait_for()
    assert page.evaluate("window.odd") == []
    press(page, "Close")
    head, names = page.get_by_role("columnheader", name="Name"), page.locator("tbody th")
    for direction, order in (("ascending", ["bad", "later", "wait"]), ("descending", ["wait", "later", "bad"])):
        head.get_by_role("button").click()
        assert (head.get_attribute("aria-sort"), names.all_inner_texts()) == (direction, order)
    page.get_by_role("searchbox").fill("nobody")
    page.get_by_text("nothing matches").wait_for()
    page.get_by_role("searchbox").fill("fail")
    page.get_by_role("rowheader", name="wait").wait_for(state="detached")
    assert page.locator("tbody th").all_inner_texts() == ["bad"]
    press(page, "Retry failed")
    run = page.url.rpartition("/")[2]
    until(lambda: server.plain("GET", f"runs/{run}/jobs/bad").json()["attempt"] == 2)
    press(page, "bad")
    job = page.get_by_role("complementary", name="Job")
    page.get_by_label("Log").get_by_text("try 2").wait_for()
    job.get_by_label("Attempt").select_option("attempt 1")
    page.get_by_label("Log").get_by_text("try 1").wait_for()
    assert "attempt=1" in job.get_by_role("link", name="whole log").get_attribute("href")
    told = job.inner_text()
    assert told.index("exit code 3") < told.index("Log") < told.index("try 1") < told.index("Submitted")
    page.goto(f"{page.url}/view?theme=dark")
    page.locator(".node.done").first.wait_for()
    assert not page.get_by_role("navigation").is_visible()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


@BELOW
def test_the_editor_tells_every_error_at_its_line(server, page):
    """What is wrong is marked while it is written, the last good graph stays; nobody's change is overwritten."""
    page.goto(pages(server))
    drop = "text => { const d = new DataTransfer(); d.items.add(new File([text], 'edited.yaml')); return d; }"
    dropped = page.evaluate_handle(drop, "workflow: {nodes: {a: {exec: 'true'}, b: {exec: 'true', after: a}}}")
    page.locator(".begin").dispatch_event("drop", {"dataTransfer": dropped})
    page.locator(".node").nth(1).wait_for()
    press(page, "Edit YAML")
    text = page.get_by_label("YAML")
    text.fill("workflow:\n  nodes:\n    a: {exec: 'true', timout: 3}\n    b: {script: no.sh}\n")
    page.locator(".bad").nth(1).wait_for()
    press(page, "Apply")
    assert page.locator(".problems li").count() == 2 and "timeout" in page.locator(".problems").inner_text()
    assert page.locator("ol li").nth(2).get_attribute("class") == "bad" and page.locator(".node").count() == 2
    text.fill("workflow:\n  nodes:\n    c: {exec: 'true'}\n")
    press(page, "Apply")
    page.get_by_text("saved").wait_for()
    page.get_by_role("button", name="c: ready").wait_for()
    yaml = {"Content-Type": "application/yaml"}
    server.plain("PUT", "workflows/edited", data="workflow: {nodes: {d: {exec: 'true'}}}", headers=yaml)
    press(page, "Apply")
    page.get_by_text("changed elsewhere: reload").wait_for()
    press(page, "Reload")
    expect(text).to_have_value(re.compile("d:"))

    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    text.fill("workflow:\n  nodes:\n    e: {script: no.sh}\n")
    for name in ("Close", "Reload", "Edit YAML"):
        press(page, name)
    with pytest.raises(Exception, match="ERR_ABORTED"):
        page.goto(pages(server))
    assert asked == ["confirm", "confirm", "beforeunload"] and "no.sh" in text.input_value()
    press(page, "Run")  # what is seen is what runs, or nothing does
    page.get_by_text("the script 'no.sh' does not exist").first.wait_for()
    assert server.plain("GET", "runs?workflow=edited").json()["total"] == 0
    text.fill("workflow:\n  nodes:\n    f: {exec: 'true'}\n")
    press(page, "Run")
    badge(page, "✓ done")
    assert page.locator("tbody th").all_inner_texts() == ["f"] and len(asked) == 3


STUDY = """\
# the study
workflow:
  nodes:
    fetch:  # by its name: fetch.sh
      label: "get it"  # shown
    work: {exec: 'true', env: {SIZE: "007"}, after: fetch}  # hard
    # the last one
    show:
      exec: 'true'
  dependencies:
    # the order
    - fetch, work, show  # a chain
"""


@BELOW
def test_jobs_are_written_by_forms(server, page, tmp_path):
    """Added, edited, connected, renamed, removed, and all undone: by forms that the schema makes; comments survive."""
    data, zipped = io.BytesIO(), {"Content-Type": "application/zip"}
    with zipfile.ZipFile(data, "w") as archive:
        for file, text in {"forms.yaml": STUDY, "fetch.sh": "", "plot.py": "", "notes.txt": ""}.items():
            archive.writestr(file, text)
    server("POST", "workflows", 201, data=data.getvalue(), headers=zipped)
    page.goto(f"{pages(server)}workflows/forms")

    def written():
        return server("GET", "workflows/forms?format=yaml").text

    def saved(expected, how="Save"):
        press(page, how)
        until(lambda: expected(written()))
        page.locator(".drawer").wait_for(state="hidden")

    def form(job):
        page.get_by_role("button", name=f"{job}: ready").press("Enter")
        page.get_by_role("complementary").get_by_role("heading", name=job).wait_for()

    press(page, "+ Job")
    page.get_by_label("name", exact=True).fill("plot")
    assert page.locator("#job-script-list option").evaluate_all("all => all.map(it => it.value)") == [
        "fetch.sh",
        "plot.py",
    ]
    page.get_by_label("script", exact=True).fill("plot.py")
    page.get_by_label("args", exact=True).fill("--size\n10\na b")
    page.get_by_label("params", exact=True).fill("rate: 0.5\nname: x: y")
    page.get_by_text("More", exact=True).click()
    triggers = page.get_by_label("trigger", exact=True)
    assert "one_failed" in triggers.locator("option").all_inner_texts()
    triggers.select_option("all_done")
    page.get_by_label("isolated", exact=True).check()
    page.get_by_label("retry", exact=True).fill("2")
    saved(lambda text: "plot:" in text)
    plot = {"script": "plot.py", "args": ["--size", 10, "a b"], "params": {"rate": 0.5, "name": "x: y"}}
    plot |= {"retry": 2, "trigger": "all_done", "isolated": True}
    assert server("GET", "workflows/forms/jobs/plot").json() == {"name": "plot", **plot}

    form("work")
    assert page.get_by_label("env", exact=True).input_value() == "SIZE: 007"
    page.get_by_label("exec", exact=True).fill("sleep 1\nexit 0")
    saved(lambda text: "sleep 1" in text)
    assert server("GET", "workflows/forms/jobs/work").json()["env"] == {"SIZE": "007"}
    page.get_by_label("From", exact=True).select_option("show")
    page.get_by_label("To", exact=True).select_option("plot")
    saved(lambda text: "show, plot" in text, "Connect")
    page.get_by_label("From", exact=True).select_option("plot")
    page.get_by_label("To", exact=True).select_option("fetch")
    press(page, "Connect")
    page.get_by_text("the dependencies form a cycle: fetch → work → show → plot → fetch").wait_for()

    page.get_by_label("Job to edit").select_option("fetch")
    press(page, "Edit job")
    page.get_by_label("name", exact=True).fill("get")
    saved(lambda text: "get, work, show" in text)
    assert server("GET", "workflows/forms/jobs/get").json()["script"] == "fetch.sh"
    form("work")
    page.get_by_label("exec", exact=True).fill("echo kept")
    told = codes(page)
    assert {"Run", "Connect", "Undo", "Save", "Remove job", "Remove the dependency on get"} <= set(told)
    environment = server.environment | {"TOKEN": server.token}
    for words in (
        ["bash", "-c", told["Download YAML"]["curl"]],
        [sys.executable, "-c", told["Download YAML"]["Python"]],
    ):
        subprocess.run(words, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=60)
        assert (tmp_path / "forms.yaml").read_text() == written()
        (tmp_path / "forms.yaml").unlink()
    press(page, "Remove the dependency on get")
    until(lambda: "after" not in server("GET", "workflows/forms/jobs/work").json())
    page.get_by_role("button", name="Remove the dependency").wait_for(state="detached")
    saved(lambda text: "kept" in text)
    assert "work, show" in written() and "get, work" not in written()
    assert [line.partition("#")[2] for line in STUDY.splitlines() if line.partition("#")[2] not in written()] == []

    before = written()
    form("work")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.ariaLabel") == "work: ready"
    form("work")
    page.get_by_text("More", exact=True).click()
    page.get_by_label("timeout", exact=True).fill("7")
    told = codes(page)
    saved(lambda text: " work:" not in text, "Remove job")
    saved(lambda text: text == before, "Undo")
    press(page, "Edit YAML")
    server.plain("PUT", "workflows/forms/jobs/other", json={"exec": "true"})
    press(page, "Undo")
    page.get_by_text("changed elsewhere: reload").wait_for()
    page.get_by_role("button", name="Edit job").click()
    page.get_by_role("button", name="Undo").wait_for(state="hidden")
    assert "other" in page.get_by_label("YAML").input_value() and "other" in written()
    for kind in ("CLI", "curl"):
        server.plain("PUT", "workflows/forms", data=before, headers={"Content-Type": "application/yaml"})
        subprocess.run(["bash", "-c", told["Save"][kind]], env=environment, check=True, capture_output=True, timeout=60)
        assert server("GET", "workflows/forms/jobs/work").json()["timeout"] == 7


@BELOW
def test_downloads_are_named_by_the_workflow(server, page):
    """A workflow that is told apart by its path is downloaded by its name, after its first run also with its state."""
    for folder in ("one", "two"):
        (server.root / folder).mkdir()
        (server.root / folder / "twice.yaml").write_text("workflow: {nodes: {a: {exec: 'true'}}}")
        server("POST", "workflows", 201, json={"path": f"{folder}/twice.yaml"})
    page.goto(pages(server) + "workflows/two%2Ftwice.yaml")
    page.get_by_text("no run yet").wait_for()
    assert not page.get_by_role("button", name="Download with state").is_visible()
    assert "-fo twice.yaml " in codes(page)["Download YAML"]["curl"]
    server("POST", "runs?wait=30", 200, json={"workflow": "two/twice.yaml"})
    page.reload()
    for name, ending in (("Download YAML", "yaml"), ("Download with state", "zip")):
        with page.expect_download() as saved:
            press(page, name)
        assert saved.value.suggested_filename == f"twice.{ending}"
    with zipfile.ZipFile(saved.value.path()) as archive:
        assert b"status: done" in archive.read("twice.yaml")


@BELOW
def test_what_is_copied_works(server, page, tmp_path):
    """The texts of a workflow's actions run as they are, and ask the same of the server each time."""
    upload(page, server, "copied", {"a": {"exec": "true"}})
    page.locator(".node").first.wait_for()
    told, ran = codes(page), 0
    page.goto(pages(server))  # what is gone in the end is asked for no more
    environment = server.environment | {"TOKEN": server.token}
    for name in ("Run", "Dry run", "Download", "Download YAML", "Delete"):
        for kind, text in told[name].items():
            command = text.replace("jupyter cc", f"{sys.executable} -m cc_notebook.cli") + " --fail" * (kind == "curl")
            words = {"Python": [sys.executable, "-c", text]}.get(kind, ["sh", "-c", command])
            if kind == "YAML" or (name == "Delete" and kind != "curl"):
                continue
            done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, (name, kind, text, done.stdout + done.stderr)
            ran += 1
            if into := [tmp_path / found for found in ("copied.zip", "copied.yaml") if (tmp_path / found).exists()]:
                assert into.pop().stat().st_size and name.startswith("Download")
                [path.unlink() for path in tmp_path.iterdir()]
    assert ran == 11 and server.plain("GET", "workflows/copied").status_code == 404
    done = subprocess.run(["sh", "-c", told["Download YAML"]["curl"]], env=environment, cwd=tmp_path, timeout=60)
    assert done.returncode == 22 and not (tmp_path / "copied.yaml").exists()  # an error is no workflow


@BELOW
def test_a_page_of_a_removed_run_says_so(server, page):
    """A run is removed while its page is open: that says so, and asks for it no more."""
    server("POST", "workflows", 201, json={"name": "gone", "workflow": {"nodes": {"a": {"exec": "true"}}}})
    run = server("POST", "runs?wait=30", 200, json={"workflow": "gone"}).json()["run"]
    page.clock.install()
    page.goto(f"{pages(server)}runs/{run}")
    page.get_by_role("button", name="Run again").wait_for()
    page.expected += ("status of 404",)  # it asks once for what is gone
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    server("DELETE", f"runs/{run}", 204)
    page.clock.fast_forward(10_000)
    page.get_by_role("status").get_by_text("this run was removed").wait_for()
    asked.clear()
    for _ in range(3):
        page.clock.fast_forward(60_000)
        page.evaluate("fetch(document.querySelector('script[src]').src)")  # after what a timer asks for
    assert asked and not [url for url in asked if run in url]


def is_start(node):
    """Whether a call in a Python text starts a workflow."""
    return isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "run_workflow"


HOSTILE = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>\"'&amp; javascript:window.hacked=1"


@BELOW
def test_what_others_write_is_text(server, page):
    """Names, labels, params, logs, outputs and members that look like markup are seen, and nothing of them runs."""
    nodes = {
        "a": {
            "exec": 'echo "$X"; echo "# cloudmesh progress=50 x=<svg/onload=window.hacked=1>"',
            "env": {"X": HOSTILE},
        },
        "loop": {
            "exec": "true",
            "foreach": {"x": [HOSTILE, "javascript:window.hacked=1", 0.078341, 1234567]},
            "label": HOSTILE,
        },
    }
    body = {
        "name": "canary",
        "workflow": {"nodes": nodes, "params": {"p": HOSTILE, "list": [HOSTILE, 0.5, True, None]}},
    }
    server.plain("POST", "workflows", json=body)
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.goto(f"{pages(server)}workflows/canary")
    assert page.get_by_label("p", exact=True).input_value() == HOSTILE
    page.locator(".node", has_text="<img src=x onerror").wait_for()
    press(page, "Run")
    badge(page, "✓ done")
    page.get_by_role("button", name="Members of loop").click()
    page.get_by_role("rowheader", name="<img src=x").wait_for()
    page.locator(".node", has_text="<img").nth(1).wait_for()
    press(page, "Timeline")
    press(page, "Results")
    page.get_by_role("cell", name="<img src=x").first.wait_for()
    for rounded in ("0.07834", "1234567"):  # of a whole number nothing is left out
        page.get_by_role("cell", name=rounded, exact=True).wait_for()
    press(page, "Jobs")
    press(page, "a")
    page.get_by_label("Log").get_by_text("<script>").wait_for()
    assert "<svg/onload" in page.locator("dd").all_inner_texts()[-1]
    press(page, "Close")
    page.get_by_role("button", name="Copy as code").click()
    (call,) = [node for node in ast.walk(ast.parse(page.locator("dialog pre").first.inner_text())) if is_start(node)]
    given = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    assert given == {"params": {"p": HOSTILE, "list": [HOSTILE, 0.5, True, None]}, "new": True}
    assert page.evaluate("window.hacked") is None and page.locator("main img, main script, aside img").count() == 0
