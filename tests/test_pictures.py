"""Pictures and reports: a layout is made once, data is never markup, and the page works in a real browser."""

import base64
import json
import os
import pwd
import re
import sys
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from pathlib import Path

import pytest
from test_notebooks import notebook

from cc_notebook import Workflow
from cc_notebook.errors import InputError, ResourceError
from cc_notebook.state import JobStatus, RunState
from cc_notebook.views import picture

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</script><script>alert(1)</script> \"q\" 'a' &amp; &nosuch; <!-- ]]> \\N \\l #010203 \u202e\ufffe Ünï ✗"


def texts(svg):
    """The lines of each node of an SVG text by its job's name, and the colours of its shape."""
    nodes = [group for group in ElementTree.fromstring(svg).iter(f"{SVG}g") if group.get("class") == "node"]
    found = {}
    for node in nodes:
        name = node.findtext(f"{SVG}title").partition("\n")[0].rpartition(":")[0]
        colors = [part.get("fill") for part in node if part.tag not in (f"{SVG}text", f"{SVG}title")]
        found[name] = ["".join(part.itertext()) for part in node.iter(f"{SVG}text")], colors
    return found


def shown(path):
    """The data that a report holds, as its script reads it."""
    page = path.read_text()
    return json.loads(page.partition('id="data">')[2].partition("</script>")[0])


# ---- a layout is made once ------------------------------------------------------------------------------------------


def test_a_change_of_state_only_colours(folder, store):
    """The second drawing makes no layout, keeps every place, and shows the new state, colour and progress."""
    flow = Workflow(name="w")
    flow.add_job("a", exec="true") >> flow.add_job("b", exec="true", label="{name}\\n{progress} {tstart.} {dt.}")
    value, run = flow.model(), RunState(flow.model())
    first = picture.svg(value, run)
    assert texts(first)["a"] == (["· a", "0%"], ["white"]) and texts(first)["b"][0] == ["· b", "0 N/A N/A"]
    made = [(path.name, path.stat().st_mtime_ns) for path in (store / "pictures").iterdir()]
    run.jobs["a"] = JobStatus("done", 100, 1)
    run.jobs["b"] = JobStatus("running", 55, 1, started=datetime.now(UTC).isoformat())
    second = picture.svg(value, run)
    assert texts(second)["a"] == (["✓ a", "100%"], ["#CCFFCC"])
    assert texts(second)["b"][1] == ["#CCE5FF"] and texts(second)["b"][0][1].endswith(" 00:00:00")
    assert made == [(path.name, path.stat().st_mtime_ns) for path in (store / "pictures").iterdir()]
    assert re.findall(r' (?:d|x|y)="[^"]*"', first) == re.findall(r' (?:d|x|y)="[^"]*"', second)


def test_labels_show_what_the_owner_allows_of_the_environment(folder, cc, monkeypatch):
    """Host and user are the real ones where these are not exported; more of the environment only by `os.allow`."""
    for name in ("HOSTNAME", "USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SITE", "Lab 5")
    monkeypatch.setenv("SECRET", "hidden")
    flow = Workflow(name="w")
    flow.add_job("a", exec="true", label="{os.HOSTNAME} {os.USER} {os.SITE} {os.SECRET}")
    place = f"· {os.uname().nodename} {pwd.getpwuid(os.getuid()).pw_name}"
    assert texts(picture.svg(flow.model(), RunState(flow.model())))["a"][0] == [f"{place} {{os.SITE}} {{os.SECRET}}"]
    assert cc("set", "os.allow=SITE,EDITOR").returncode == 0
    monkeypatch.setenv("HOSTNAME", "exported")
    assert texts(picture.svg(flow.model(), RunState(flow.model())))["a"][0][0].startswith("· exported ")
    assert texts(picture.svg(flow.model(), RunState(flow.model())))["a"][0][0].endswith(" Lab 5 {os.SECRET}")


def test_a_layout_is_made_anew_where_it_must_be(folder, store):
    """More lines, a text that outgrew its room, another shape or another edge need a layout of their own."""
    flow = Workflow(name="w")
    flow.add_job("a", exec="true", label="{name} {out}")
    flow.add_job("b", exec="true")
    run = RunState(flow.model())

    def kept():
        return len(list((store / "pictures").iterdir()))

    picture.svg(flow.model(), run)
    assert kept() == 1
    for number, out in enumerate(["x" * 40, "y" * 41, "one\ntwo"], 2):
        run.jobs["a"] = JobStatus("done", 100, 1, outputs={"out": out})
        assert "".join(texts(picture.svg(flow.model(), run))["a"][0]) == f"✓ a {out}".replace("\n", "")
        assert kept() == min(number, 3 if out != "y" * 41 else 2)
    flow["a"] >> flow["b"]
    picture.svg(flow.model(), run)
    flow.add_job("b", exec="true", shape="ellipse")
    picture.svg(flow.model(), run)
    assert kept() == 5


@pytest.mark.parametrize("shape", ["record", "Mrecord", "point", "plaintext", "circle", "nosuchshape"])
def test_any_shape_shows_the_present_text(folder, shape):
    """Also where Graphviz reads fields in a text, or shows none, nothing of an earlier state is shown."""
    flow = Workflow(name="w")
    flow.add_job("a", exec="true", shape=shape, label="{name}|{progress}")
    run = RunState(flow.model())
    for state, progress in (("ready", 0), ("running", 37)):
        run.jobs["a"] = JobStatus(state, progress, 1)
        told = "".join(texts(picture.svg(flow.model(), run))["a"][0])
        assert str(progress) in told if shape != "point" else told == ""


def test_old_layouts_go(folder, store, monkeypatch):
    """The folder of layouts does not grow for ever."""
    monkeypatch.setattr(picture, "KEPT", 3)
    for number in range(6):
        flow = Workflow(name="w")
        flow.add_job(f"j{number}", exec="true")
        picture.svg(flow.model(), RunState(flow.model()))
    assert len(list((store / "pictures").iterdir())) == 4


def test_a_graph_that_takes_too_long_is_an_error(folder, monkeypatch):
    """A drawing that does not end is ended, and says what to do."""
    monkeypatch.setattr(picture, "LIMIT", 0.01)
    flow = Workflow(name="w")
    flow.add_job("a", exec="true")
    with pytest.raises(ResourceError, match=r"too large to be drawn .* \.dot"):
        flow.display("w.png")


# ---- data is never markup -------------------------------------------------------------------------------------------


def test_hostile_texts_are_texts(folder):
    """Names, labels, reasons, params and outputs that look like markup stay texts, in each format and in the report."""
    flow = Workflow(name="hostile & co")
    flow.add_job("b&nosuch; ü", label=HOSTILE, exec="exit 3")
    flow.add_job("out", exec='echo "# cloudmesh progress=50 text=</script><b>&amp;"')
    flow._body["params"] = {HOSTILE: HOSTILE, "nan": float("nan")}
    run = flow.run().wait()
    assert run.state == "failed"
    lines, colors = texts(picture.svg(run.refresh().flow.drawn(), run.refresh()))["b&nosuch; ü"]
    assert lines == ["✗ " + HOSTILE.replace("\u202e", "\ufffd").replace("\ufffe", "\ufffd")] and colors == ["#FFCCCC"]
    for ending in picture.FORMATS:
        picture.states(run, folder / f"states{ending}")
        flow.display(folder / f"w{ending}")
        assert (folder / f"w{ending}").stat().st_size > 100
    ElementTree.parse(folder / "states.svg")
    path = run.report()
    assert path.read_text().count("<script") == path.read_text().count("</script>") == 2
    data = shown(path)
    assert data["params"] == {HOSTILE: HOSTILE, "nan": "NaN"}
    assert {job["name"]: job["outputs"] for job in data["jobs"]}["out"] == {"text": "</script><b>&amp;"}


# ---- pictures of runs -----------------------------------------------------------------------------------------------


def test_figure_7(folder):
    """The picture over time shows the first change, the last one, and twelve moments at most, in their order."""
    flow = Workflow(name="w")
    a, b, c = (flow.add_job(name, exec="true", label=f"{name} {{created.%Y}}") for name in "abc")
    a >> b >> c
    run = flow.run().wait()
    picture.states(run, folder / "few.svg")
    assert "N/A" not in (folder / "few.svg").read_text()
    groups = [g for g in ElementTree.parse(folder / "few.svg").iter(f"{SVG}g") if g.get("class") == "cluster"]
    captions = [[text.text for text in group.iter(f"{SVG}text")] for group in groups]
    assert 6 <= len(captions) <= 9
    assert captions[0][1] == "▶ a running" and captions[-1][1] == "✓ c done"
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", caption[0]) for caption in captions)
    for number in range(10):
        flow.add_job(f"more{number}", exec="true")
    picture.states(flow.run().wait(), folder / "many.dot")
    assert (folder / "many.dot").read_text().count("subgraph") == 12
    with pytest.raises(InputError, match=r"\.svg"):
        picture.states(run, folder / "w.docx")


def test_display_writes(folder, capsys):
    """Outside a notebook `display` writes beside the workflow and says where; a file's ending is its format."""
    flow = Workflow(name="w")
    flow.add_job("a", exec="true")
    assert flow.display(name="mine") == folder / "mine.svg" and "mine.svg" in capsys.readouterr().out
    assert texts((folder / "mine.svg").read_text())["a"][0] == ["· a", "0%"]
    flow.run().wait()
    assert flow.display("sub/w.svg") == Path("sub/w.svg") and not capsys.readouterr().out
    assert texts((folder / "sub" / "w.svg").read_text())["a"][0] == ["✓ a", "100%"]
    with pytest.raises(InputError, match=r"w\.docx"):
        flow.display("w.docx")


def test_display_shows_in_a_notebook(folder):
    """In a notebook the picture is the cell's output, wherever in the cell it was asked for."""
    source = (
        "from cc_notebook import Workflow\nw = Workflow(name='inner')\n_ = w.add_job('a', exec='true')\nw.display()\n1"
    )
    notebook(folder, "n.ipynb", source)
    flow = Workflow(name="w")
    flow.add_job("a", script="n.ipynb")
    run = flow.run().wait(60)
    assert run.state == "done"
    (executed,) = (folder / "w-runs" / run.id).glob("a.ipynb")
    outputs = json.loads(executed.read_text())["cells"][1]["outputs"]
    assert list(outputs[0]["data"]) == ["image/svg+xml", "text/plain"]
    assert not list(folder.glob("*.svg"))


# ---- reports --------------------------------------------------------------------------------------------------------


@pytest.fixture
def failed(folder):
    """A run with a notebook that failed in a library, a job that was tried again, and one that was blocked."""
    notebook(folder, "train.ipynb", "import json", "json.loads('{x')", "2")
    flow = Workflow(name="w")
    flow._body["params"] = {"size": 3}
    a = flow.add_job(
        "fetch", exec='echo "# cloudmesh progress=50 rows=7"; test -e once || { touch once; exit 1; }', retry=1
    )
    a >> flow.add_job("train", script="train.ipynb") >> flow.add_job("after", exec="true")
    flow.add_job("missing", exec=f"cat {folder}/nothing; exit 1")
    return flow.run().wait(60)


def test_report_of_a_failed_notebook(failed, folder, store):
    """The failing cell, its source and traceback are told, with every attempt, and no folder of this computer."""
    path = failed.report()
    data = shown(path)
    jobs = {job["name"]: job for job in data["jobs"]}
    error = jobs["train"]["error"]
    assert path == folder / "w-runs" / failed.id / "report.html"
    assert (error["cell"], error["cells"], error["source"]) == ("2", "3", "json.loads('{x')")
    assert "JSONDecodeError" in error["traceback"] and "File …/decoder.py:" in error["traceback"]
    assert (
        jobs["after"]["state"] == "blocked"
        and jobs["fetch"]["attempt"] == 2
        and jobs["fetch"]["outputs"] == {"rows": "7"}
    )
    assert [event["type"] for event in data["events"] if event["job"] == "fetch"].count("submit") == 2
    assert data["run"] == failed.id and data["params"] == {"size": "3"} and data["about"]["Python"]
    picture_of_it = base64.b64decode(data["picture"]).decode()
    assert texts(picture_of_it)["train"][1] == ["#FFCCCC"] and "⊘ after" in picture_of_it
    assert "<title>train: failed\ncell 2: JSONDecodeError" in picture_of_it
    for text in (path.read_text(), picture_of_it):
        assert (
            str(store) not in text and sys.prefix not in text and str(folder) not in text.replace(f"cat {folder}", "")
        )
    elsewhere = failed.report(folder / "deep" / "er.html")
    assert elsewhere.exists()


def test_report_where_no_picture_can_be_drawn(failed, tmp_path, monkeypatch):
    """Where Graphviz is missing the report lacks the picture, nothing else."""
    (tmp_path / "pygraphviz.py").write_text("raise ImportError('no Graphviz here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    with pytest.raises(ResourceError, match="cannot be drawn as svg: ImportError: no Graphviz here"):
        picture.write(failed.refresh().flow.drawn(), failed.refresh(), tmp_path / "w.svg")
    data = shown(failed.report())
    assert "picture" not in data and len(data["jobs"]) == 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_in_a_browser(failed, browser, scheme, tmp_path):
    """The page asks for nothing outside itself, reports no error, fits a phone, and is sorted by keyboard."""
    page = browser.new_page(color_scheme=scheme, viewport={"width": 390, "height": 800})
    trouble, asked = [], []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(failed.report(tmp_path / "r.html").as_uri())
    assert page.title() == "w: failed" and page.locator("h1").inner_text() == "w"
    assert page.evaluate("document.querySelector('.graph img').naturalWidth") > 50
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert "Cell 2 of 3" in page.locator(".fault").first.inner_text()
    assert page.locator(".ran").count() == 4 and "attempt 2" in page.locator(".told").first.inner_text()

    def names():
        return page.locator("th[scope=row]").all_inner_texts()

    before = names()
    page.get_by_role("button", name="Job", exact=True).focus()
    page.keyboard.press("Enter")
    assert names() == sorted(before) and page.locator("th[aria-sort=ascending]").inner_text() == "Job"
    page.keyboard.press("Enter")
    assert names() == sorted(before, reverse=True)
    assert trouble == [] and [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_hostile_report_in_a_browser(folder, browser):
    """What looks like a script is shown as text, and nothing of it runs."""
    flow = Workflow(name="w")
    flow.add_job("a", label=HOSTILE, exec='echo "# cloudmesh progress=50 x=<img/src=x/onerror=document.title=1>"')
    flow._body["params"] = {"p": HOSTILE}
    page = browser.new_page()
    trouble = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("dialog", lambda dialog: trouble.append(dialog.message))
    page.goto(flow.run().wait().report(folder / "r.html").as_uri())
    assert HOSTILE in page.locator("section.params dd").evaluate("item => item.textContent")
    assert "<img/src=x" in page.locator("section.outputs").inner_text()
    assert page.title() == "w: done" and trouble == []
