"""Labels: the article's Table 3 and its figures 3 and 4, and what must not be reached through braces."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from cc_notebook import labels
from cc_notebook.model import Job, Workflow
from cc_notebook.state import Event, RunState

T0 = datetime(2022, 10, 10, 16, 35, 36, tzinfo=UTC)
FIGURE_3 = (
    "start\\n Created={created.%Y/%m/%d, %H--%M--%S}\\n Workflow Started={t0.%Y/%m/%d, %H--%M--%S}\\n"
    " Now={now.%Y/%m/%d, %H--%M--%S}\\n Elapsed={dt0.%M--%S}"
)
FIGURE_4 = """start
 Created=2022/10/10, 16:35:29
 Workflow Started=2022/10/10, 16:35:36
 Now=2022/10/10, 16:35:37
 Elapsed=00:01"""


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    """Local time is UTC here, so that what is printed can be written down."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(seconds):
    return (T0 + timedelta(seconds=seconds)).isoformat()


def after(*events):
    """The state of a run of the jobs a and b after these events."""
    jobs = {name: Job(name=name) for name in "ab"}
    run = RunState(Workflow(params={"size": 3}, jobs=jobs), created=at(-6) if events else "")
    for number, event in enumerate(events, 1):
        run.feed(Event(seq=number, **event))
    return run


STARTED = (
    {"type": "engine", "at": at(0)},
    {"type": "submit", "job": "a", "attempt": 1, "at": at(1)},
    {"type": "start", "job": "a", "attempt": 1, "at": at(2), "started": at(2)},
)
ENDED = (
    *STARTED,
    {"type": "progress", "job": "a", "attempt": 1, "progress": 40, "outputs": {"rows": 7}, "at": at(3)},
    {"type": "done", "job": "a", "attempt": 1, "ending": "exit", "code": 0, "at": at(65), "ended": at(65)},
    {"type": "end", "state": "done", "at": at(93780)},
)


def label(text, *events, seconds=1, **attributes):
    job = Job.model_validate({"name": "a", "exec": "x", "label": text, **attributes})
    around = {"os": {"HOME": "/home/me"}, "params": {"size": 3}}
    return labels.text(job, after(*events), T0 + timedelta(seconds=seconds), around)


def test_figures_3_and_4():
    """The label of Figure 3 comes out as Figure 4; a `created` that cloudmesh-cc has saved counts."""
    assert label(FIGURE_3, STARTED[0], created="2022-10-10 16:35:29") == FIGURE_4
    assert "Created=2022/10/10, 16:35:30" in label(FIGURE_3, STARTED[0])


@pytest.mark.parametrize(
    ("text", "before", "running", "ended"),
    [
        ("{name} {status} {progress}", "a ready 0", "a running 1", "a done 100"),
        ("{now.%S}", "37", "37", "37"),
        ("{now}", "10/10/2022, 16:35:37", "10/10/2022, 16:35:37", "10/10/2022, 16:35:37"),
        ("{now.}", "10/10/2022, 16:35:37", "10/10/2022, 16:35:37", "10/10/2022, 16:35:37"),
        ("{created.%H--%M--%S}", "N/A", "16:35:30", "16:35:30"),
        ("{t0.%H--%M--%S}", "N/A", "16:35:36", "16:35:36"),
        ("{t1.%d %H--%M--%S}", "N/A", "N/A", "11 18:38:36"),
        ("{dt0.%M--%S}", "N/A", "00:01", "1 days, 03:00"),
        ("{dt1.}", "N/A", "N/A", "1 days, 02:03:00"),
        ("{dt0.%Y%m%d,%H--%M--%S}", "N/A", "00000000,00:00:01", "00000001,02:03:00"),
        ("{dt1.%Y%m%d,%H--%M--%S}", "N/A", "N/A", "00000001,02:03:00"),
        ("{dt.%Y%m%d,%H--%M--%S}", "N/A", "00000000,00:00:00", "00000000,00:01:03"),
        ("{dt.%d} {dt0.%y/%m %%d}", "N/A N/A", "00 00/00 %d", "00 1 days, 00/00 %d"),
        ("{tstart.%S}", "N/A", "38", "38"),
        ("{tend.%M--%S}", "N/A", "N/A", "36:41"),
        ("{modified.%M--%S}", "N/A", "35:38", "36:41"),
        ("{os.HOME} {params.size}", "/home/me 3", "/home/me 3", "/home/me 3"),
        ("{rows} {a.rows}", "{rows} {a.rows}", "{rows} {a.rows}", "7 7"),
        ("{{name}} {nowhere} {os.SECRET}", "{name} {nowhere} {os.SECRET}", "{name} {nowhere} {os.SECRET}", None),
        ("{name.__class__} {os.__class__}", "{name.__class__} {os.__class__}", None, None),
    ],
)
def test_table_3(text, before, running, ended):
    """Each variable, before the run, while the job runs, and after a run of more than a day."""
    assert label(text) == before
    assert running is None or label(text, *STARTED) == running
    assert ended is None or label(text, *ENDED) == ended


def test_attributes_of_ones_own_and_the_default():
    """Any attribute can be shown; a job without a label shows its name."""
    assert label("{owner} on {kind}", owner="Ada") == "Ada on local"
    assert labels.text(Job(name="plain"), RunState(Workflow(jobs={"plain": Job(name="plain")})), T0, {}) == "plain"
