"""Saving a workflow: what is read back is equal, and what nobody changed stays as the user wrote it."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cc_notebook import Workflow
from cc_notebook.errors import InputError

DATA = Path(__file__).parent / "data"


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    """A store and a current folder of its own for each test."""
    monkeypatch.setenv("CC_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)


def load(text, scripts=()):
    """A workflow from a file with this text; the scripts stand beside it."""
    for script in scripts:
        Path(script).touch()
    Path("w.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    return Workflow("w.yaml")


def saved(flow):
    """The text of the file after saving."""
    return flow.save().read_text(encoding="utf-8")


def comments(text):
    """The comments of a text, in order."""
    return [line[line.index("#") :].rstrip() for line in text.splitlines() if "#" in line]


def difference(before, after):
    """The lines that went and the lines that came."""
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


STUDY = """\
# The study of chapter 3.
workflow: # everything stands below
  # what goes in
  params: {sizes: [10, 100], tolerance: 0.01} # both in metres

  # the jobs
  nodes:
    # get the data
    fetch-data:
      name: fetch-data
      kind: local
      label: '{name}\\nprogress={progress}' # as in the article
      script: "fetch.sh"
      owner: Ada # our own attribute

    # train it
    train:
      exec: |
        echo one   # not a comment of YAML
        echo two
      timeout: 10m
      args: ["--size", '{params.tolerance}', 3]
    # look at it
    report: {exec: 'cat report.txt', trigger: all_done}
  # who waits for whom
  dependencies:
    # the main line
    - start, fetch-data, train, report, end # from left to right
    # and a short cut
    - fetch-data, report
# the end
"""

PLAIN = """\
workflow:
  nodes:
    a: {exec: echo a}
    b: {exec: echo b}
    c: {exec: echo c}
    d: {exec: echo d}
  dependencies:
    - a, b, c, d
"""

ANCHORS = """\
# shared settings, as docker-compose users write them
x-base: &base
  kind: local
  timeout: 5m
workflow:
  nodes:
    a:
      <<: *base # all of them
      exec: echo a
    b:
      <<: *base
      exec: echo b
      timeout: 1m # but longer
  dependencies:
    - a, b
"""

LISTS = """\
workflow:
  nodes:
    a: {exec: x}
    b: {exec: x}
  dependencies:
    - [a, b] # as a list
"""

ONE = """\
workflow:
  nodes:
    a: {exec: x}
    b: {exec: x}
  dependencies: a, b # as one text
"""

NONE = """\
workflow:
  nodes:
    a: {exec: x} # alone
"""

EMPTY_VALUES = """\
workflow:
  nodes:
    start:
    a: {exec: x, venv: }
  params:
  dependencies:
    - start, a
"""

TYPED = """\
workflow:
  params: {a: 0x1F, b: 1_000, c: 1.50, d: .5, e: yes, f: 2024-01-01, g: 1e3, h: ~, i: null, j: True, k: 'q', l: "r"}
  nodes:
    a: {exec: x}
  dependencies:
    - start, a
"""

OLD_NUMBERS = """\
workflow:
  params: {octal: 010, clock: 12:30, long: 1:30:00}
  nodes:
    a: {exec: x}
  dependencies:
    - start, a
"""

TINY = """\
workflow:
  params: {rate: 5.960464477539063e-08}
  nodes:
    a: {exec: x}
"""

NUMBERED = """\
workflow:
  nodes:
    1: {exec: x}
    2: {exec: x}
  dependencies:
    - 1, 2
"""

FILES = {
    "study": STUDY,
    "plain": PLAIN,
    "anchors": ANCHORS,
    "dependencies as lists": LISTS,
    "one dependency": ONE,
    "no dependencies": NONE,
    "empty values": EMPTY_VALUES,
    "typed values": TYPED,
    "old numbers": OLD_NUMBERS,
    "numbered jobs": NUMBERED,
    "figure 2": (DATA / "figure2.yaml").read_text(),
    "saved by cloudmesh-cc": (DATA / "cloudmesh-saved.yaml").read_text(),
}
SCRIPTS = ("fetch.sh", "test-fetch-data.sh", "test-compute.sh", "test-analyze.sh", "start.sh", "fetch-0.sh")
SCRIPTS += ("job-login.hpc.example.edu-1.sh", "prepare.sh", "train.py")


@pytest.mark.parametrize("name", [*FILES, "figure3", "figure5", "design"])
def test_load_save_load_is_equal(name):
    """What is read back after saving is the same workflow, and saving once more changes nothing."""
    text = FILES.get(name) or (DATA / f"{name}.yaml").read_text()
    flow = load(text, SCRIPTS)
    before = flow.model()
    first = saved(flow)
    again = Workflow("w.yaml")
    assert again.model() == before
    assert list(again.jobs) == list(flow.jobs)
    assert saved(again) == first


@pytest.mark.parametrize("name", FILES)
def test_saving_without_a_change_changes_nothing(name):
    """A file in the usual layout that is loaded and saved is the same, letter by letter."""
    assert saved(load(FILES[name], SCRIPTS)) == FILES[name]


@pytest.mark.parametrize("name", ["figure3", "figure5", "design"])
def test_comments_and_order_of_other_layouts_survive(name):
    """In a file with another layout, comments and the order of the words survive."""
    text = (DATA / f"{name}.yaml").read_text()
    after = saved(load(text, SCRIPTS))
    assert comments(after) == comments(text)

    def order(of):
        return [
            word
            for word in of.replace(":", " ").split()
            if word in ("nodes", "params", "label", "exec", "name", "shape")
        ]

    assert order(after) == order(text)


def test_other_indentation_keeps_comments_and_quotes():
    """Four blanks, or lists that are not indented, are no reason to lose a comment or a quote."""
    text = "workflow:\n    nodes:\n        a: {exec: 'x'} # one\n    dependencies:\n    - start, a # two\n"
    after = saved(load(text))
    assert comments(after) == ["# one", "# two"] and "'x'" in after
    assert Workflow("w.yaml").model().edges == (("start", "a"),)


# ---- one change at a time ------------------------------------------------------------------------------------------


def test_add_job_adds_only_its_lines():
    """A new job is the only difference in the file, and every comment is where it was."""
    flow = load(STUDY, SCRIPTS)
    flow.add_job("extra", exec="echo extra", timeout=60)
    gone, new = difference(STUDY, saved(flow))
    assert gone == [] and [line.strip() for line in new] == ["extra:", "exec: echo extra", "timeout: 60"]
    assert comments(Path("w.yaml").read_text()) == comments(STUDY)
    assert list(Workflow("w.yaml").jobs)[:4] == ["fetch-data", "train", "report", "extra"]


def test_add_dependency_adds_only_its_line():
    """A new dependency is one new line; the comments among the others survive."""
    flow = load(STUDY, SCRIPTS)
    flow.add_dependency("train", "end")
    after = saved(flow)
    gone, new = difference(STUDY, after)
    assert gone == [] and [line.strip() for line in new] == ["- train, end"]
    assert sorted(comments(after)) == sorted(comments(STUDY))


@pytest.mark.parametrize(
    "name", ["dependencies as lists", "one dependency", "no dependencies", "numbered jobs", "anchors"]
)
def test_a_change_beside_leaves_the_rest(name):
    """A new job and its dependency leave the other jobs and dependencies of any file as they are."""
    flow = load(FILES[name])
    before = flow.model()
    flow.add_job("new", exec="echo new")
    flow.add_dependencies(f"{next(iter(flow.jobs))}, new")
    after = saved(flow)
    assert sorted(comments(after)) == sorted(comments(FILES[name]))
    model = Workflow("w.yaml").model()
    assert {job: model.jobs[job] for job in before.jobs} == before.jobs
    assert set(model.edges) == {*before.edges, (next(iter(flow.jobs)), "new")}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (OLD_NUMBERS, "octal: 010, clock: 12:30, long: 1:30:00"),
        (TYPED, "c: 1.50, d: .5, e: yes, f: 2024-01-01, g: 1e3"),
        (TINY, "rate: 5.960464477539063e-08"),
    ],
)
def test_values_stay_as_typed(text, kept):
    """A change elsewhere writes no number, date or time in another way than the user did."""
    flow = load(text)
    flow.add_job("new", exec="echo new")
    assert kept in saved(flow)


def test_remove_job_removes_only_its_lines():
    """A removed job takes its own lines and its dependencies with it, and no comment of another job."""
    flow = load(STUDY, SCRIPTS)
    flow.remove_job("train")
    after = saved(flow)
    gone, _ = difference(STUDY, after)
    assert "    report: {exec: 'cat report.txt', trigger: all_done}" in after.splitlines()
    assert "train" not in Workflow("w.yaml").jobs and all("fetch.sh" not in line for line in gone)
    lost = set(comments(STUDY)) - set(comments(after))
    assert lost <= {"# train it", "# not a comment of YAML", "# from left to right"}


def test_remove_job_in_the_middle_of_a_chain():
    """The dependencies of a removed job go, those before and after it stay."""
    flow = load(PLAIN.replace("a, b, c, d", "start, a, b, c, d, end"))
    flow.remove_job("b")
    saved(flow)
    assert set(Workflow("w.yaml").model().edges) == {("start", "a"), ("c", "d"), ("d", "end")}


@pytest.mark.parametrize(
    ("name", "left"),
    [("a", [("b", "c"), ("c", "d")]), ("b", [("c", "d")]), ("c", [("a", "b")]), ("d", [("a", "b"), ("b", "c")])],
)
def test_remove_any_job_of_a_chain(name, left):
    """Wherever a job stands in a chain, only its own edges go."""
    flow = load(PLAIN)
    flow.remove_job(name)
    saved(flow)
    again = Workflow("w.yaml")
    assert sorted(again.model().edges) == left and name not in again.jobs and len(again.jobs) == 3


def test_remove_a_job_out_of_a_range():
    """A job in the middle of `j[0-3]` is taken out of it."""
    flow = load(
        "workflow:\n  nodes: {j0: {exec: x}, j1: {exec: x}, j2: {exec: x}, j3: {exec: x}}\n  dependencies: ['j[0-3]']\n"
    )
    flow.remove_job("j1")
    saved(flow)
    assert Workflow("w.yaml").model().edges == (("j2", "j3"),)


def test_remove_and_add_again():
    """A job that is removed and added again with its dependency gives the same workflow."""
    flow = load(PLAIN)
    before = flow.model()
    flow.remove_job("d")
    flow.add_job("d", exec="echo d")
    flow.add_dependency("c", "d")
    saved(flow)
    after = Workflow("w.yaml").model()
    assert (after.jobs, set(after.edges)) == (before.jobs, set(before.edges))


def test_a_changed_job_keeps_its_place_and_its_neighbours():
    """A job that is replaced stays where it was, and the comments of its neighbours survive."""
    flow = load(STUDY, SCRIPTS)
    flow.add_job("train", exec="echo new")
    after = saved(flow)
    assert list(Workflow("w.yaml").jobs)[:3] == ["fetch-data", "train", "report"]
    assert Workflow("w.yaml").model().jobs["train"].exec == "echo new"
    assert set(comments(STUDY)) - set(comments(after)) <= {"# not a comment of YAML"}


def test_a_job_with_a_merge_key_is_changed():
    """A job whose attributes partly come from an anchor becomes what was asked for, and the other one stays."""
    flow = load(ANCHORS)
    flow.add_job("b", exec="echo new", kind="local", timeout="2m")
    saved(flow)
    assert Workflow("w.yaml").model() == flow.model()
    flow.add_job("a", exec="echo newer")
    saved(flow)
    assert Workflow("w.yaml").model() == flow.model()


def test_a_job_without_attributes_gets_some():
    """`a:` with nothing below it is filled, and emptied again."""
    flow = load(EMPTY_VALUES, ["start.sh"])
    flow.add_job("start", exec="echo hello")
    saved(flow)
    assert Workflow("w.yaml").model() == flow.model() and flow.model().jobs["start"].exec == "echo hello"
    flow.add_job("start")
    saved(flow)
    assert Workflow("w.yaml").model() == flow.model() and flow.model().jobs["start"].exec is None


# ---- refusals ------------------------------------------------------------------------------------------------------


def test_a_refused_change_changes_nothing():
    """A wrong name or attribute is an error, and the file and the workflow stay as they were."""
    flow = load(STUDY, SCRIPTS)
    before = flow.model()
    for call in (
        lambda: flow.add_job("a/b", exec="x"),
        lambda: flow.add_job("new", scirpt="x"),
        lambda: flow.add_job("new", exec="x", timeout="soon"),
        lambda: flow.remove_job("trian"),
        lambda: flow.add_dependencies("train"),
        lambda: flow.add_dependencies("train,,report"),
    ):
        with pytest.raises(InputError):
            call()
    assert flow.model() == before and Path("w.yaml").read_text() == STUDY


def test_save_to_another_file():
    """`save(filename)` writes a copy that loads as the same workflow and leaves the first file alone."""
    flow = load(STUDY, SCRIPTS)
    flow.add_job("extra", exec="x")
    flow.save("copy.yaml")
    assert Path("w.yaml").read_text() == STUDY
    copy = Workflow("copy.yaml").model()
    assert copy.jobs == flow.model().jobs and copy.edges == flow.model().edges


def test_other_documents_keys_survive():
    """What stands beside `workflow:`, such as cloudmesh-cc's colors, is kept."""
    text = PLAIN + "colors:\n  status: {ready: white, done: '#CCFFCC'} # ours\n"
    flow = load(text)
    flow.add_job("e", exec="x")
    assert saved(flow).endswith("colors:\n  status: {ready: white, done: '#CCFFCC'} # ours\n")


# ---- generated workflows -------------------------------------------------------------------------------------------

TRICKY = [
    "yes",
    "no",
    "on",
    "null",
    "~",
    "",
    " lead",
    "trail ",
    "010",
    "1e3",
    "12:30",
    "1:30:00",
    "0x1F",
    "1_000",
    "1.50",
]
TRICKY += [
    ".5",
    "-",
    "- a",
    "a: b",
    "# no comment",
    "a #b",
    "'",
    '"',
    "two\nlines\n",
    "tab\t",
    "{x",
    "[x",
    "*a",
    "&a",
    "!a",
]
TRICKY += [
    "%a",
    "@a",
    "`a",
    "|",
    ">",
    "?",
    "---",
    "...",
    "<<",
    "=",
    "2024-01-01",
    "true",
    "\u00e4\u6f22\U0001f600",
    "\u2028",
]
TEXT = st.sampled_from(TRICKY) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
PLAIN_VALUES = (
    TEXT | st.integers() | st.floats(-1e6, 1e6).map(lambda n: round(n, 3)) | st.booleans()
)  # ruamel rounds the 17th digit of a float that it copies
PARAMS = st.recursive(
    PLAIN_VALUES | st.none(),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3),
    max_leaves=5,
)
JOBS = st.fixed_dictionaries(
    {"exec": TEXT},
    optional={
        "args": st.lists(PLAIN_VALUES.map(lambda v: v.replace("{", "").replace("}", "") if isinstance(v, str) else v)),
        "params": st.dictionaries(st.sampled_from(["p", "q", "yes", "010"]), st.integers() | st.booleans(), max_size=3),
        "label": TEXT,
        "owner": PARAMS,
        "timeout": st.integers(1, 10**6),
        "retry": st.fixed_dictionaries({"max": st.integers(0, 9), "on": st.just(["lost", 7])}),
        "isolated": st.booleans(),
        "trigger": st.sampled_from(["all_done", "one_failed"]),
    },
)
NAMES = ["a", "b-c", "two words", "gr\u00f6\u00dfe", "x.y", "on", "1", "null", "010", "1e3"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), JOBS), min_size=1, max_size=4, unique_by=lambda pair: pair[0]), st.data()
)
def test_generated_workflows_come_back_equal(jobs, data):
    """Whatever a program builds with `add_job` is saved and read back as the same workflow, and saved again alike."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.yaml"
        flow = Workflow(name="w")
        for name, attributes in jobs:
            flow.add_job(name, **attributes)
        names = [name for name, _ in jobs]
        if len(names) > 1:
            flow.add_dependencies(", ".join(names))
        before = flow.model()
        flow.save(path)
        again = Workflow(path)
        assert again.model() == before
        first = path.read_text(encoding="utf-8")
        again.save()
        assert path.read_text(encoding="utf-8") == first
        gone = data.draw(st.sampled_from(names))
        again.remove_job(gone)
        if len(names) > 1:
            again.save()
            left = Workflow(path).model()
            assert left.jobs == {name: job for name, job in before.jobs.items() if name != gone}
            assert set(left.edges) == {edge for edge in before.edges if gone not in edge}


def test_a_job_is_renamed_and_a_dependency_removed_where_they_stand(folder):
    """Place, comments and the script found by the old name stay; `after` and sequences follow; the file can be read."""
    (folder / "a.sh").touch()
    text = "workflow:\n  nodes:\n    a:  # one\n      label: x  # two\n    # three\n    b: {exec: 'true', after: a}\n"
    (folder / "w.yaml").write_text(
        text + "    c: {exec: x, after: [a, b]}\n  dependencies:\n    # four\n    - a, b, c  # five\n"
    )
    flow = Workflow("w.yaml")
    flow.rename_job("a", "first")
    flow.save()
    again = Workflow("w.yaml")
    assert list(again.nodes) == ["first", "b", "c"] and again.nodes["first"]["script"] == "a.sh"
    assert [again.nodes[name]["after"] for name in "bc"] == ["first", "first, b"]
    assert comments((folder / "w.yaml").read_text()) == ["# one", "# two", "# three", "# four", "# five"]
    again.remove_dependency("first", "b")
    again.save()
    assert set(Workflow("w.yaml").model().edges) == {("b", "c"), ("first", "c")}
    again.remove_job("b")
    again.nodes["first"] = {"exec": "true"}
    again.save()
    assert Workflow("w.yaml").model().edges == (("first", "c"),)
    with pytest.raises(InputError, match="already"):
        again.rename_job("c", "first")
    with pytest.raises(InputError, match="does not start after"):
        again.remove_dependency("c", "first")
