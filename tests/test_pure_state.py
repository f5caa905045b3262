"""States, triggers and order: the pure decisions of the engine, held against tables written down here."""

import itertools
import json
import sys
from dataclasses import replace

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cc_notebook import control, freshness, graph
from cc_notebook.errors import BugError
from cc_notebook.freshness import Reach
from cc_notebook.growth import Flow
from cc_notebook.model import Job, Workflow
from cc_notebook.state import Event, JobStatus, RunState, apply

ALIVE = ("submitted", "running")
FINAL = ("done", "failed", "cancelled", "skipped")
STATES = ("ready", *ALIVE, *FINAL)

# event → (the states in which it may come, the state that follows)
TRANSITIONS = {
    "submit": (("ready",), "submitted"),
    "start": (("submitted",), "running"),
    "progress": (("running",), "running"),
    "done": (ALIVE, "done"),
    "fail": (("ready", *ALIVE), "failed"),
    "retry": (ALIVE, "ready"),
    "cancel": (("ready", *ALIVE), "cancelled"),
    "skip": (("ready", "running"), "skipped"),  # running: a group of which every member was skipped
    "grow": (("ready", "running"), "running"),
    "take": (("ready",), "done"),
    "reset": (("ready", *FINAL), "ready"),
    "mark": (("ready", *FINAL), "done"),
}


def status(state, **fields):
    """A status in this state, as it is in the middle of a run."""
    times = {"submitted": "2026-01-01T10:00:00+00:00", "started": "2026-01-01T10:00:01+00:00"}
    return JobStatus(
        state=state, attempt=2, progress=40, host="box", script="new", first_script="old", **times, **fields
    )


def event(kind, **fields):
    """An event of this kind that fits the attempt of `status`."""
    wanted = {"attempt": 3} if kind == "submit" else {"attempt": 2} if kind not in ("reset", "mark") else {}
    wanted |= {"state": "done"} if kind == "mark" else {}
    return Event(kind, **{"at": "2026-01-01T10:00:09+00:00", "seq": 7, "job": "train", **wanted, **fields})


@pytest.mark.parametrize(("state", "kind"), list(itertools.product(STATES, TRANSITIONS)))
def test_every_state_with_every_event(state, kind):
    """An event is either in the table, and leads where the table says, or is refused with the job's story."""
    allowed, after = TRANSITIONS[kind]
    before = status(state)
    if state in allowed:
        assert apply(before, event(kind)).state == after
    else:
        with pytest.raises(BugError) as caught:
            apply(before, event(kind))
        story = str(caught.value)
        assert "'train'" in story and state in story and f"'{kind}'" in story and "attempt 2" in story
    assert before == status(state), "a status is never changed in place"


@pytest.mark.parametrize("state", STATES)
def test_an_unknown_event_is_refused(state):
    """An event that the table does not know is refused in every state."""
    with pytest.raises(BugError, match="'explode'"):
        apply(status(state), event("explode"))


@pytest.mark.parametrize("kind", ["start", "progress", "done", "fail", "retry", "cancel"])
@pytest.mark.parametrize("attempt", [1, 3])
def test_an_event_of_another_attempt_is_refused(kind, attempt):
    """What an older or a later attempt says never changes the present one."""
    allowed, _ = TRANSITIONS[kind]
    with pytest.raises(BugError, match=f"'{kind}' of attempt {attempt}"):
        apply(status(allowed[-1]), event(kind, attempt=attempt))


@pytest.mark.parametrize("state", FINAL)
def test_final_is_final(state):
    """Nothing but a reset or a mark by hand leaves a final state."""
    for kind in TRANSITIONS:
        if kind not in ("reset", "mark"):
            with pytest.raises(BugError):
                apply(status(state), event(kind))


@pytest.mark.parametrize("state", ALIVE)
def test_a_living_attempt_is_never_marked(state):
    """A mark by hand or a reset is refused while an attempt lives."""
    for kind in ("mark", "reset"):
        with pytest.raises(BugError):
            apply(status(state), event(kind))


def test_a_mark_is_shown_as_set_by_hand():
    """A state that was set by hand says so."""
    for state in ("ready", *FINAL):
        marked = apply(status("failed"), event("mark", state=state))
        assert (marked.state, marked.by_hand) == (state, True) and "by hand" in marked.reason


def test_an_attempt_from_submit_to_the_end():
    """A first attempt collects host, native id, times, progress and outputs, and ends with its proof."""
    now = JobStatus()
    now = apply(now, Event("submit", job="a", attempt=1, host="box", at="t1", script="s1"))
    assert (now.state, now.attempt, now.host, now.submitted, now.progress) == ("submitted", 1, "box", "t1", 0)
    now = apply(now, Event("start", job="a", attempt=1, native_id="77@box", at="t2", started="r2"))
    assert (now.state, now.native_id, now.started, now.progress) == ("running", "77@box", "r2", 1)
    now = apply(now, Event("progress", job="a", attempt=1, progress=30, outputs={"x": 1, "y": 1}))
    now = apply(now, Event("progress", job="a", attempt=1, outputs={"x": 2}))
    assert (now.progress, now.outputs) == (30, {"x": 2, "y": 1})
    now = apply(now, Event("done", job="a", attempt=1, ending="exit", code=0, ended="r9", outputs={"z": 3}))
    assert (now.state, now.progress, now.ending, now.code, now.ended) == ("done", 100, "exit", 0, "r9")
    assert now.outputs == {"x": 2, "y": 1, "z": 3} and not now.changed


def test_an_ending_is_described():
    """A failed attempt keeps its progress and tells how it ended, by the resource's clock where that is known."""
    failed = apply(status("running"), event("fail", ending="signal", code=9, reason="out of memory", ended="r9"))
    assert (failed.state, failed.progress, failed.ending, failed.code) == ("failed", 40, "signal", 9)
    assert (failed.reason, failed.ended) == ("out of memory", "r9")
    assert apply(status("running"), event("fail")).ended == "2026-01-01T10:00:09+00:00"


def test_a_new_attempt_starts_afresh():
    """After a retry the next attempt has its own number and nothing of the last one's progress, outputs or ending."""
    old = apply(status("running", outputs={"x": 1}), event("retry", ending="exit", code=1, reason="exit code 1"))
    assert (old.state, old.progress) == ("ready", 0)
    new = apply(old, event("submit", attempt=3, script="newer"))
    assert (new.attempt, new.progress, new.outputs, new.ending, new.code, new.reason) == (3, 0, {}, "", None, "")
    assert (new.first_script, new.script, new.changed) == ("old", "newer", True)
    assert new.tries == old.tries + 1


def test_a_reset_counts_tries_from_zero():
    """A reset job is ready, may use all its tries again, and its next attempt has a fresh number."""
    fresh = apply(status("failed", tries=3, by_hand=True, reason="x"), event("reset"))
    assert (fresh.state, fresh.tries, fresh.attempt, fresh.progress, fresh.by_hand) == ("ready", 0, 2, 0, False)


@given(st.lists(st.none() | st.integers(0, 100), max_size=20))
def test_progress_never_falls(reported):
    """Within an attempt progress stays in 0 to 100 and never falls, whatever is reported."""
    now = apply(status("submitted"), event("start"))
    last = now.progress
    for progress in reported:
        now = apply(now, event("progress", progress=progress))
        assert last <= now.progress <= 100
        last = now.progress
    assert last == max([40, *(p for p in reported if p is not None)])
    assert apply(now, event("fail")).progress == last and apply(now, event("done")).progress == 100


# ---- a whole run: live and replayed --------------------------------------------------------------------------------

NAMES = ("a", "b", "c")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda v: st.lists(v, max_size=2) | st.dictionaries(st.text(max_size=3), v, max_size=2),
    max_leaves=4,
)
RUN_EVENTS = ("engine", "pause", "resume", "cancel_run", "cancel_job", "refused", "end", "disk_full")
EVENTS = st.builds(
    Event,
    type=st.sampled_from((*TRANSITIONS, "submit", "start", "progress", "done", *RUN_EVENTS)),
    at=st.sampled_from(["2026-01-01T10:00:00+00:00", "2026-01-02T10:00:00+00:00"]),
    job=st.sampled_from(NAMES),
    attempt=st.integers(0, 3),
    progress=st.none() | st.integers(0, 100),
    outputs=st.dictionaries(st.sampled_from(["x", "y"]), JSON, max_size=2),
    host=st.sampled_from(["", "box"]),
    native_id=st.sampled_from(["", "7@box"]),
    started=st.sampled_from(["", "r1"]),
    ended=st.sampled_from(["", "r2"]),
    ending=st.sampled_from(["", "exit", "lost"]),
    code=st.none() | st.integers(0, 255),
    reason=st.text(max_size=5),
    script=st.sampled_from(["", "s1", "s2"]),
    state=st.sampled_from(("ready", *FINAL)),
    request=st.sampled_from(["", "r-1", "r-2"]),
)


def run_of(names):
    """The state of a run of these jobs before its first event."""
    return RunState(Workflow(jobs={name: Job(name=name, repeat=9) for name in names}))


def accepted(events):
    """Those of the events, numbered, that each job's status accepts one after the other; resets name several jobs."""
    jobs, result = dict.fromkeys(NAMES, JobStatus()), []
    for item in events:
        if item.type == "reset":
            item = replace(item, job="", jobs=tuple(n for n in NAMES if jobs[n].state in ("ready", *FINAL)))
        if item.type not in TRANSITIONS:
            item = replace(item, job="")
        names = item.jobs or (item.job,) if item.type in TRANSITIONS else ()
        try:
            new = {name: apply(jobs[name], item) for name in names if name}
        except BugError:
            continue
        if names and not new:
            continue
        jobs |= new
        if item.type == "take":  # names its jobs' outputs by job
            item = replace(item, outputs=dict.fromkeys([item.job], item.outputs))
        result.append(replace(item, seq=len(result) + 1))
    return result, jobs


def facts(view):
    """Everything that a reader can see of a run."""
    asked = (view.paused, view.cancelled, view.answered)
    return (view.jobs, view.seq, view.state, view.progress, view.counts(), view.ended, view.reason, *asked)


def journalled(item):
    """The event after its way through a line of JSON."""
    data = json.loads(json.dumps(item.to_dict()))
    return Event(**{**data, "jobs": tuple(data.get("jobs", ()))})


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, max_size=30))
def test_live_state_equals_replayed_state(events):
    """The state built as events happen equals the state read back from their lines in the journal."""
    events, jobs = accepted(events)
    live, replayed = run_of(NAMES), run_of(NAMES)
    for item in events:
        live.feed(item)
        replayed.feed(journalled(item))
        assert facts(replayed) == facts(live)
    assert live.jobs == jobs
    assert [journalled(item) for item in events] == events


@settings(max_examples=100, deadline=None)
@given(st.lists(EVENTS, max_size=40))
def test_what_always_holds_in_a_run(events):
    """Whatever is accepted, each job is in one of seven states, progress is 0 to 100, and 100 where it is done."""
    view = run_of(NAMES)
    for item in accepted(events)[0]:
        view.feed(item)
        assert {found.state for found in view.jobs.values()} <= set(STATES)
        assert all(0 <= found.progress <= 100 for found in view.jobs.values())
        assert all(found.progress == 100 for found in view.jobs.values() if found.state == "done")
        assert 0 <= view.progress <= 100 and sum(view.counts().values()) == len(NAMES)


def test_the_words_for_a_run():
    """A run is running, paused, cancelling or in its final state; the last request wins."""
    view = run_of(["a"])
    words = [view.state]
    for kind in ("pause", "resume", "cancel_run"):
        view.feed(Event(kind))
        words.append(view.state)
    view.feed(Event("end", state="cancelled"))
    assert [*words, view.state] == ["running", "paused", "running", "cancelling", "cancelled"]


def test_a_reset_reopens_a_run():
    """After `retry` a run that had ended is unfinished again."""
    view = run_of(["a"])
    for item in (Event("fail", job="a"), Event("end", state="failed"), Event("reset", jobs=("a",))):
        view.feed(item)
    assert (view.ended, view.state, view.jobs["a"].state) == ("", "running", "ready")


def test_answers_to_requests():
    """A request is answered by the event that carries it out, or refused with the reason."""
    view = run_of(["a"])
    view.feed(Event("pause", request="r1"))
    view.feed(Event("refused", request="r2", reason="it has ended"))
    assert view.answered == {"r1": "", "r2": "it has ended"}


# ---- triggers ------------------------------------------------------------------------------------------------------

# Each letter is one parent: w waits, d done, f failed, c cancelled, s skipped, b blocked. What does the job do?
TRUTH = {
    "all_success": {"": "run", "d": "run", "dd": "run", "w": None, "wd": None, "wf": None, "ws": None, "f": "block"}
    | {"df": "block", "c": "block", "b": "block", "s": "skip", "ds": "skip", "sf": "block", "sb": "block"},
    "all_done": {"": "run", "d": "run", "w": None, "wf": None, "f": "run", "c": "run", "b": "run", "s": "run"}
    | {"dfcsb": "run", "dfcsbw": None},
    "one_failed": {"": "skip", "d": "skip", "dd": "skip", "s": "skip", "w": None, "wd": None, "f": "run", "wf": "run"}
    | {"df": "run", "sf": "run", "cf": "run", "bf": "run", "ws": None},
    "none_failed": {"": "run", "d": "run", "s": "run", "ds": "run", "w": None, "ws": None, "f": "block", "df": "block"}
    | {"b": "block", "c": "block", "sb": "block", "wf": None},
    "always": dict.fromkeys(("", "w", "d", "f", "c", "s", "b", "wdfcsb"), "run"),
}
OUTCOMES = {"d": "done", "f": "failed", "c": "cancelled", "s": "skipped", "b": "blocked"}


def decision(trigger, parents):
    """What `decide` says for these parents, a letter each."""
    tally = {OUTCOMES[letter]: parents.count(letter) for letter in OUTCOMES if letter in parents}
    return control.decide(trigger, parents.count("w"), tally)


@pytest.mark.parametrize("trigger", TRUTH)
def test_truth_table_of_triggers(trigger):
    """Each trigger decides as Airflow's rule of that name does."""
    assert {parents: decision(trigger, parents) for parents in TRUTH[trigger]} == TRUTH[trigger]


@pytest.mark.parametrize("parents", ["b", "db", "wb", "cb"])
def test_one_failed_fires_for_a_failure_further_up(parents):
    """As in Airflow (`upstream_failed`), an alarm at the end of a chain fires although a job further up failed."""
    assert decision("one_failed", parents) == "run"


@given(st.sampled_from(sorted(TRUTH)), st.text("wdfcsb", max_size=6))
def test_decisions_do_not_depend_on_order_and_are_final(trigger, parents):
    """A decision depends on how many parents ended how, and once it is made no later ending reverses it."""
    now = decision(trigger, parents)
    assert now == decision(trigger, "".join(sorted(parents)))
    assert now is not None or "w" in parents
    if now and "w" in parents:
        for letter in OUTCOMES:
            assert decision(trigger, parents.replace("w", letter, 1)) == now


@pytest.mark.parametrize("ends", list(itertools.permutations("abc")))
def test_a_job_is_blocked_by_what_did_not_work(ends):
    """Of several parents one that failed blocks a job, in whatever order they end, also when that is read again."""
    jobs = {name: Job(name=name, exec="true") for name in "abcd"}
    flow = Flow(Workflow(jobs=jobs, edges=tuple((name, "d") for name in "abc")))
    statuses = dict.fromkeys(jobs, JobStatus())
    plan = control.Plan(flow, statuses)
    for name in ends:
        statuses[name] = JobStatus("failed" if name == "b" else "done")
        plan.settle(name, statuses[name].state)
    assert plan.root_cause("d") == "b" == control.Plan(flow, statuses).root_cause("d")


# ---- order and cycles ----------------------------------------------------------------------------------------------

GRAPHS = st.integers(1, 8).flatmap(
    lambda n: st.tuples(
        st.permutations([f"n{i}" for i in range(n)]),
        st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=12, unique=True),
    )
)


@given(GRAPHS)
def test_order_and_cycle_agree(drawn):
    """A graph has either an order that respects every edge or a cycle whose every step is an edge."""
    names, pairs = drawn
    edges = [(names[a], names[b]) for a, b in pairs]
    found, loop = graph.order(names, edges), graph.cycle(names, edges)
    rank = {name: place for place, name in enumerate(found)}
    assert len(rank) == len(found)
    assert all(rank[a] < rank[b] for a, b in edges if b in rank)
    if loop:
        assert len(found) < len(names) and loop[0] == loop[-1] and len(set(loop)) == len(loop) - 1
        assert all(step in edges for step in itertools.pairwise(loop))
    else:
        assert sorted(found) == sorted(names)


@given(st.permutations(["a", "b", "c", "d", "e"]))
def test_order_keeps_the_order_of_the_file(names):
    """Where the edges leave a choice, jobs stay in the order in which they were written."""
    assert graph.order(names, []) == names
    first, last = names[0], names[-1]
    assert graph.order(names, [(last, first)]) == [*names[1:], first]


def test_a_diamond_in_order():
    """Parents come first, and branches in the order of the file."""
    edges = [("start", "b"), ("start", "a"), ("a", "end"), ("b", "end")]
    assert graph.order(["end", "b", "a", "start"], edges) == ["start", "b", "a", "end"]


@pytest.fixture
def shallow():
    """Hardly any recursion is allowed."""
    before, depth = sys.getrecursionlimit(), 0
    frame = sys._getframe()
    while frame:
        depth, frame = depth + 1, frame.f_back
    sys.setrecursionlimit(depth + 60)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize("backwards", [False, True])
def test_a_chain_of_ten_thousand(shallow, backwards):
    """A chain of 10,000 is ordered, and closed to a ring is named as a cycle, without recursion."""
    chain = [f"j{n}" for n in range(10_000)]
    names = chain[::-1] if backwards else chain
    edges = list(itertools.pairwise(chain))
    assert graph.order(names, edges) == chain
    assert graph.cycle(names, edges) == []
    loop = graph.cycle(names, [*edges, (chain[-1], chain[0])])
    assert len(loop) == 10_001 and loop[0] == loop[-1] and set(loop) == set(chain)


def test_wide_graphs_are_fast():
    """Twenty full layers of a hundred jobs (190,000 edges) are ordered in linear time."""
    layers = [[f"l{layer}-{n}" for n in range(100)] for layer in range(20)]
    edges = [edge for left, right in itertools.pairwise(layers) for edge in itertools.product(left, right)]
    names = list(itertools.chain(*layers))
    assert graph.order(names, edges) == names


@pytest.mark.parametrize(
    ("on", "ending", "code", "expected"),
    [
        ("[9]", "exit", 9, "retry"),
        ("[9]", "signal", 9, "fail"),
        ("[signal]", "signal", 9, "retry"),
        ("[failed]", "exit", 1, "retry"),
        ("[node_fail]", "lost", None, "retry"),
        ("[timeout]", "exit", 1, "fail"),
        ("[]", "timeout", None, "retry"),
        ("[]", "exit", 0, "done"),
        ("[]", "cancelled", None, "cancel"),
    ],
)
def test_verdict_on_an_ending(on, ending, code, expected):
    """`retry.on` names endings by words and exit codes by numbers; a signal's number is no exit code."""
    job = Job.model_validate({"exec": "x", "retry": {"max": 1, "on": yaml.safe_load(on)}})
    status = JobStatus("running", attempt=1, tries=1)
    assert control.verdict(job, status, ending, code, cancelled=False) == expected
    assert control.verdict(job, status, ending, code, cancelled=True) == expected.replace("retry", "fail")


def test_the_age_of_what_is_shown():
    """The host's short name, how long ago it answered, and why it does not now."""
    then, now = "2026-01-01T10:00:00+00:00", "2026-01-01T10:04:30+00:00"
    known = {"ssh:me@box": Reach("no answer", then), "ssh:@two": Reach("refused"), "ssh:@new": Reach()}
    known |= {"ssh:@old": Reach(seen=then), "ssh:@now": Reach(seen=now), "ssh:@shut": Reach("after: down ended", then)}
    told = {host: about["told"] for host, about in freshness.hosts(known, now)["hosts"].items()}
    troubles = ["box: seen 4 min ago; no answer", "two: not seen yet; refused", "shut: after: down ended"]
    assert list(told.values()) == [
        *troubles[:2],
        "new: not seen yet",
        "old: seen 4 min ago",
        "now: seen 0 s ago",
        troubles[2],
    ]
    assert freshness.note(known, ["local"], now).split("; ") == "; ".join(troubles).split("; ")
    assert freshness.note(known, ["ssh:@old", "ssh:@now"], now) == "; ".join(
        [*troubles[:2], "old: seen 4 min ago", troubles[2]]
    )
    assert [freshness.ago(then, f"2026-01-0{day}T12:00:00+00:00") for day in (1, 3)] == ["2 h", "2 d"]
    assert freshness.ago(then, "2025-01-01T10:00:00+00:00") == "0 s"  # a clock that was set back
