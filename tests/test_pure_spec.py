"""A workflow file's text becomes a workflow, or every problem of the file with its place and what to do about it."""

import json
import time
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from cc_notebook import spec
from cc_notebook.errors import InputError, SpecError

DATA = Path(__file__).parent / "data"


def parse(text, files=(), strict=False, hostnames=()):
    """The workflow of a text; `files` stand beside it, `hostnames` are this machine's."""
    place = spec.Place(lambda name: name in files, spec.HERE | set(hostnames))
    return spec.parse(text, "w.yaml", "w", place, strict)


def problems(text, **options):
    """Every problem of a text, in the order of the file."""
    with pytest.raises(SpecError) as caught:
        parse(text, **options)
    return caught.value.problems


def job(attributes, **options):
    """The one job `a` with these attributes, written as one line of YAML."""
    return parse(f"workflow: {{nodes: {{a: {{{attributes}}}}}}}", **options).jobs["a"]


def chain(dependencies, names="a b c d"):
    """The edges that a `dependencies:` value (one line of YAML) makes between jobs of these names."""
    nodes = ", ".join(f"{name}: {{exec: x}}" for name in names.split())
    return list(parse(f"workflow: {{nodes: {{{nodes}}}, dependencies: {dependencies}}}").edges)


# ---- the article's figures -----------------------------------------------------------------------------------------

FIGURE_2 = ("test-fetch-data.sh", "test-compute.sh", "test-analyze.sh")


def test_figure_2_as_printed_is_explained():
    """The slip in the article's Figure 2 is one clear error that names the line of `end` and the fix."""
    (problem,) = problems((DATA / "figure2-printed.yaml").read_bytes(), files=FIGURE_2)
    assert (problem.line, problem.column) == (29, 3)
    assert "'end'" in problem.message and "nodes" in problem.message and "indent" in problem.hint


def test_figure_2_corrected():
    """The corrected Figure 2 is the chain that the article describes."""
    flow = parse((DATA / "figure2.yaml").read_bytes(), files=FIGURE_2)
    names = ["start", "fetch-data", "compute", "analyze", "end"]
    assert list(flow.jobs) == names
    assert flow.edges == tuple(pairwise(names))
    assert [flow.jobs[name].script for name in names] == [None, *FIGURE_2, None]
    fetch = flow.jobs["fetch-data"]
    assert (fetch.user, fetch.host, fetch.kind) == ("gregor", "localhost", "local")
    assert fetch.label == r"{name}\nprogress={progress}"
    assert [flow.jobs[name].instant for name in names] == [True, False, False, False, True]


@pytest.mark.parametrize(("name", "format_"), [("figure3", "%Y/%m/%d, %H--%M--%S"), ("figure5", "%Y/%m/%d,%H--%M--%S")])
def test_figures_3_and_5_keep_their_label(name, format_):
    """The labels of Figures 3 and 5, written over several lines, arrive whole."""
    start = parse((DATA / f"{name}.yaml").read_bytes()).jobs["start"]
    assert start.label.startswith(rf"start\n Created={{created.{format_}}}\n Workflow Started={{t0.")


def test_figure_5_keeps_shape_and_style():
    """Figure 5's command, shape and empty style are read."""
    start = parse((DATA / "figure5.yaml").read_bytes()).jobs["start"]
    assert (start.exec, start.shape, start.style, start.user, start.host) == ("echo hello", "box", "", "grey", "local")


def test_parallel_list_of_section_5_1():
    """The article's three sequences between start and end are three parallel branches."""
    text = "workflow:\n  nodes: {a: {exec: x}, b: {exec: x}, c: {exec: x}}\n  dependencies:\n"
    flow = parse(text + "  - start,a,end\n  - start,b,end\n  - start,c,end\n")
    assert set(flow.edges) == {edge for name in "abc" for edge in (("start", name), (name, "end"))}
    assert flow.jobs["start"].instant and flow.jobs["end"].instant


def test_a_file_of_this_version():
    """The new words of this version are read together in one file."""
    flow = parse((DATA / "design.yaml").read_bytes(), files=("prepare.sh", "train.py"))
    assert flow.params == {"sizes": [10, 100], "tolerance": 0.01}
    box = flow.hosts["box"]
    assert (box.address, box.user, box.port, box.max_parallel) == ("box.example.org", "abc123", 2222, 4)
    assert (box.workdir, box.python) == ("~/cc", "python3.12")
    assert "hpc" in flow.hosts and flow.max_parallel == 3
    assert ("prepare", "report") in flow.edges and ("train", "alarm") in flow.edges
    assert flow.jobs["alarm"].exec == "mail -s failed me@example.org"
    assert flow.jobs["train"].model_extra == {"owner": "Ada"}


# ---- what cloudmesh-cc accepted or wrote ---------------------------------------------------------------------------

SAVED = ("start.sh", "fetch-0.sh", "job-login.hpc.example.edu-1.sh")


def test_a_file_that_cloudmesh_cc_saved():
    """Its dependencies by source and destination, colors, numbers and parents load, and the old state is no state."""
    flow = parse((DATA / "cloudmesh-saved.yaml").read_bytes(), files=SAVED)
    assert flow.edges == (("start", "fetch-0"), ("fetch-0", "job-login.hpc.example.edu-1"))
    assert [job.script for job in flow.jobs.values()] == list(SAVED)
    assert flow.jobs["job-login.hpc.example.edu-1"].kind == "ssh"


def test_a_file_that_cloudmesh_cc_saved_is_strict_too():
    """The attributes that cloudmesh-cc itself wrote are known to `--strict`."""
    assert len(parse((DATA / "cloudmesh-saved.yaml").read_bytes(), files=SAVED, strict=True).jobs) == 3


def test_saved_job_with_a_command_and_the_filled_in_script():
    """cloudmesh-cc filled in `script: <name>.sh` beside a command: where there is no such script, the command runs."""
    saved = job("name: a, kind: local, status: ready, progress: 0, script: a.sh, exec: echo hello, instance: null")
    assert (saved.exec, saved.script) == ("echo hello", None)


@pytest.mark.parametrize(
    "dependencies",
    [
        '["a,b,c,d"]',
        '["a, b, c, d"]',
        '["  a ,b,   c,d  "]',
        '"a, b, c, d"',
        "[[a, b, c, d]]",
        '["a,b", [b, c], "c , d"]',
        '["a,b", "b,c", "c,d", "a,b", "b,c,d"]',
        "{a-b: {source: a, destination: b, name: a-b}, b-c: {source: b, destination: c}, "
        "c-d: {source: c, destination: d}}",
    ],
)
def test_ways_to_write_a_chain(dependencies):
    """Every way to write a sequence that the article shows or cloudmesh-cc accepted gives the same edges once."""
    assert chain(dependencies) == [("a", "b"), ("b", "c"), ("c", "d")]


@pytest.mark.parametrize(
    ("dependencies", "names", "expected"),
    [
        ('["j[0-2]"]', "j0 j1 j2", "j0 j1 j2"),
        ('["a, j[1-2], b"]', "a b j1 j2", "a j1 j2 b"),
        ('["j[08-10]"]', "j08 j09 j10", "j08 j09 j10"),
        ('["j[0-1]x, a"]', "j0x j1x a", "j0x j1x a"),
        ('["j[0-1,4]"]', "j0 j1 j4", "j0 j1 j4"),
        ("[[1, 2]]", "1 2", "1 2"),
    ],
)
def test_ranges_make_a_chain(dependencies, names, expected):
    """`j[0-2]` stands for three names one after the other, as in cloudmesh-cc, and numbers are names too."""
    assert chain(dependencies, names) == list(pairwise(expected.split()))


@pytest.mark.parametrize("dependencies", ["", "dependencies:", "dependencies: []", "dependencies: {}"])
def test_no_dependencies(dependencies):
    """Dependencies may be missing or empty; the jobs are there all the same."""
    flow = parse(f"workflow:\n  nodes: {{a: {{exec: x}}, b: {{exec: x}}}}\n  {dependencies}\n")
    assert list(flow.jobs) == ["a", "b"] and flow.edges == ()


def test_a_job_named_alone_is_there():
    """A job in a sequence of its own, or in none, is a job of the workflow."""
    assert chain("[a, [b]]") == []


def test_edges_whose_names_join_alike_are_kept_apart():
    """`a-b → c` and `a → b-c` are two dependencies (cloudmesh-cc lost the second)."""
    assert chain('["a-b,c", "a,b-c"]', "a-b c a b-c") == [("a-b", "c"), ("a", "b-c")]


@pytest.mark.parametrize("kind", ["sh", "python", "jupyter", "local"])
def test_kinds_of_section_5_2_are_local(kind):
    """The article's section 5.2 names payloads as kinds; they run on this computer."""
    assert job(f"exec: x, kind: {kind}").kind == "local"


@pytest.mark.parametrize("kind", ["ssh", "slurm", "lsf", "wsl"])
def test_kinds_that_name_a_place(kind):
    """The other kinds stand for themselves."""
    assert job(f"exec: x, kind: {kind}, host: box").kind == kind


def test_status_as_a_number_is_progress():
    """Table 2 of the article calls `status` a number from 0 to 100: it is read as progress."""
    assert job("exec: x, status: 50").progress == 50


@pytest.mark.parametrize("host", ["local", "localhost", "127.0.0.1", "here", "here.example.org"])
def test_local_jobs_may_name_this_computer(host):
    """A local job may name this computer by any of its names."""
    assert job(f"exec: x, host: {host}", hostnames=("here", "here.example.org")).host == host


def test_a_local_job_on_a_foreign_host_is_offered_ssh():
    """Figure 10 names a foreign host with `kind: local`: the error stands at the host and offers `kind: ssh`."""
    (problem,) = problems("workflow:\n  nodes:\n    a:\n      exec: hostname\n      host: supercomputer-a\n")
    assert (problem.line, problem.column) == (5, 7)
    assert "'a'" in problem.message and "'supercomputer-a'" in problem.message and "kind: ssh" in problem.hint


@pytest.mark.parametrize(
    ("name", "files", "script"),
    [
        ("a", ("a.sh",), "a.sh"),
        ("a", ("a.py",), "a.py"),
        ("a", ("a.py", "a.sh"), "a.sh"),
        ("a.py", ("a.py",), "a.py"),
        ("a.sh", ("a.sh", "a.sh.sh"), "a.sh"),
        ("start", ("start.sh",), "start.sh"),
    ],
)
def test_a_script_that_is_not_named_is_found_beside_the_file(name, files, script):
    """No script named means `<name>.sh` or `.py` beside the YAML; a suffix in the name sets the type."""
    assert parse(f"workflow: {{nodes: {{{name}: }}}}", files=files).jobs[name].script == script


def test_start_and_end_need_no_declaration_and_others_do():
    """Only `start` and `end` may be named in a dependency alone."""
    found = problems("workflow:\n  nodes: {a: {exec: x}}\n  dependencies:\n  - start, a, finish, end\n")
    assert [(p.line, p.column) for p in found] == [(4, 5)] and "'finish'" in found[0].message


@pytest.mark.parametrize("text", ["yes", "no", "on", "off", "y", "n", "2024-01-01", "12:30", "1:30:00", "Null byte"])
def test_words_stay_words(text):
    """Only `true` and `false` are truth values; dates and times of day stay text."""
    assert job(f"exec: x, params: {{p: {text}}}").params == {"p": text}


@pytest.mark.parametrize(("text", "value"), [("1e-5", 1e-5), ("1.5e3", 1500.0), ("-3", -3), ("0x1F", 31), (".5", 0.5)])
def test_numbers_are_numbers(text, value):
    """Numbers are read as everybody writes them, a learning rate of `1e-5` included."""
    found = job(f"exec: x, params: {{p: {text}}}").params["p"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("name", ["no", "on", "010", "1", "1.50", "1_000", "1e3", "0x1F", "12:30", "true", "null"])
def test_names_are_what_is_typed(name):
    """A job's name is the text of its key, also where YAML would see a number, a time or nothing."""
    text = f"workflow:\n  nodes:\n    {name}: {{exec: x}}\n    b: {{exec: y}}\n  dependencies: ['{name}, b']\n"
    flow = parse(text)
    assert list(flow.jobs) == [name, "b"] and flow.edges == ((name, "b"),)


def test_names_that_are_equal_numbers_are_two_jobs():
    """`1`, `01` and `1.0` are three names, none of which is lost."""
    assert list(parse("workflow: {nodes: {1: {exec: x}, 01: {exec: y}, 1.0: {exec: z}}}").jobs) == ["1", "01", "1.0"]


def test_small_aliases_and_merge_keys_work():
    """Anchors, aliases of aliases and merge keys of an ordinary size are read, as docker-compose users write them."""
    text = """\
x-env: &env {LANG: C}
x-base: &base
  kind: local
  env: *env
workflow:
  nodes:
    a: {<<: *base, exec: x}
    b: {<<: *base, exec: y, kind: sh}
"""
    flow = parse(text)
    assert [item.env for item in flow.jobs.values()] == [{"LANG": "C"}] * 2


@pytest.mark.parametrize("prefix", [b"\xef\xbb\xbf", b"# \xc3\xa4\xe6\xbc\xa2\n", b"%YAML 1.1\n---\n", b"\r\n"])
def test_what_editors_put_before_a_file(prefix):
    """A byte order mark, a comment in any script, a directive and Windows line ends are no problem."""
    assert parse(prefix + b"workflow:\r\n  nodes:\r\n    a: {exec: x}\r\n").jobs["a"].exec == "x"


# ---- attributes ----------------------------------------------------------------------------------------------------


def seen(item, name):
    """An attribute in plain types, so that tuples and lists compare alike."""
    return json.loads(item.model_dump_json(by_alias=True))[name]


@pytest.mark.parametrize(
    ("attributes", "name", "expected"),
    [
        ("exec: echo hi", "exec", "echo hi"),
        ("command: echo hi", "exec", "echo hi"),
        ("script: s.sh", "script", "s.sh"),
        ("script: ./s.sh", "script", "./s.sh"),
        ("exec: x, name: a", "name", "a"),
        ("exec: x, host: box, kind: ssh, user: me", "user", "me"),
        ("exec: x, args: \"--size 3 'two words'\"", "args", ["--size", "3", "two words"]),
        ("exec: x, args: [--size, 3, 0.5, true, two words]", "args", ["--size", 3, 0.5, True, "two words"]),
        ("exec: x, env: {A: x, B_2: 3, _c: true}", "env", {"A": "x", "B_2": 3, "_c": True}),
        ("exec: x, params: {n: 1, l: [1, 2], d: {k: v}}", "params", {"n": 1, "l": [1, 2], "d": {"k": "v"}}),
        ("exec: x, parameters: {n: 1}", "params", {"n": 1}),
        ("script: s.sh, venv: ~/env", "venv", "~/env"),
        ("script: s.ipynb, kernel: python3", "kernel", "python3"),
        ("script: s.ipynb, kernel_gateway: 'https://h:8888/'", "kernel_gateway", "https://h:8888/"),
        ("script: s.ipynb, cell_timeout: 10m", "cell_timeout", 600),
        ("exec: x, label: '{name}'", "label", "{name}"),
        ("exec: x, shape: diamond", "shape", "diamond"),
        ("exec: x, style: ''", "style", ""),
        ("exec: x, status: ready", "status", "ready"),
        ("exec: x, progress: 40", "progress", 40),
        ("exec: x, progress: 'Epoch {n}/{total}'", "progress", "Epoch {n}/{total}"),
        ("exec: x, timeout: 90", "timeout", 90),
        ("exec: x, timeout: 0.5", "timeout", 0.5),
        ("exec: x, timeout: 10m", "timeout", 600),
        ("exec: x, timeout: 1.5h", "timeout", 5400),
        ("exec: x, timeout: '02:30'", "timeout", 150),
        ("exec: x, timeout: '01:02:03'", "timeout", 3723),
        ("exec: x, timeout: 1-00:00:00", "timeout", 86400),
        ("exec: x, retry: 2", "retry", {"max": 2, "on": [], "delay": 0}),
        (
            "exec: x, retry: {max: 1, on: [timeout, 7], delay: 2m}",
            "retry",
            {"max": 1, "on": ["timeout", 7], "delay": 120},
        ),
        ("exec: x, after: start", "after", ["start"]),
        ("exec: x, after: [start, end]", "after", ["start", "end"]),
        ("exec: x, after: 'start, end'", "after", ["start", "end"]),
        ("exec: x, trigger: one_failed", "trigger", "one_failed"),
        ("exec: x, when: start.rows > 1, after: start", "when", "start.rows > 1"),
        ("exec: x, foreach: {n: [1, a], f: '*.csv'}", "foreach", {"n": [1, "a"], "f": "*.csv"}),
        ("exec: x, matrix: {n: [1]}", "foreach", {"n": [1]}),
        ("exec: x, foreach: {n: [1]}, exclude: [{n: 1}]", "exclude", [{"n": 1}]),
        ("exec: x, foreach: {n: [1]}, include: [{n: 1, m: 2}]", "include", [{"n": 1, "m": 2}]),
        ("exec: x, repeat: {until: a.x < 1, max: 5}", "repeat", {"until": "a.x < 1", "max": 5}),
        ("exec: x, repeat: 3", "repeat", {"until": None, "max": 3}),
        ("exec: x, port: 6006", "port", 6006),
        ("exec: x, isolated: true", "isolated", True),
        ("exec: x, files: {in: [a.csv], out: ['*.png']}", "files", {"in": ["a.csv"], "out": ["*.png"]}),
    ],
)
def test_every_attribute_is_read(attributes, name, expected):
    """Each attribute of a job arrives with its value, in each way it can be written."""
    nodes = f"{{a: {{{attributes}}}, start: , end: }}"
    flow = parse(f"workflow: {{nodes: {nodes}}}", files=("s.sh", "./s.sh", "s.ipynb"), strict=True)
    assert seen(flow.jobs["a"], name) == expected


@pytest.mark.parametrize(
    ("written", "memory"), [("4G", 4 << 30), ("500MB", 500 << 20), ("1.5 GiB", 3 << 29), ("2k", 2048), ("4096", 4096)]
)
def test_resources_are_read(written, memory):
    """Memory has units, time is in seconds, and what a batch system alone knows is kept."""
    found = job(
        f"exec: x, resources: {{cpus: 4, gpus: 1, memory: {written}, time: '00:30:00', partition: gpu}}"
    ).resources
    assert (found.cpus, found.gpus, found.memory, found.time) == (4, 1, memory, 1800)
    assert found.model_extra == {"partition": "gpu"}


ROWS = {row[1] for row in test_every_attribute_is_read.pytestmark[0].args[1]}


def test_every_attribute_is_tested():
    """A new attribute of a job comes with its row in the tables above."""
    words = set(spec.schema()["$defs"]["Job"]["properties"])
    assert words - ROWS - {"kind", "host", "resources", "command", "parameters", "workflow"} == set()


def test_the_smaller_limit_holds():
    """A job's time limit is the smaller of `timeout` and `resources.time`."""
    assert job("exec: x, timeout: 10m, resources: {time: 60}").limit == 60


def test_an_attribute_without_a_value_is_not_there():
    """`exec:` or `venv: null` is the same as leaving the line out."""
    empty = job("script: s.sh, exec: , venv: null, label: ~, retry: , args: ", files=("s.sh",))
    assert empty == job("script: s.sh", files=("s.sh",))


OWN = "owner output description comment project priority group email title image account notes-1 grösse"


@pytest.mark.parametrize("word", OWN.split())
def test_an_unknown_attribute_is_kept(word):
    """An attribute that resembles none is kept and usable in braces (the abstract's arbitrary arguments)."""
    kept = job(f"exec: x, {word}: {{a: [1]}}, args: ['{{{word}}}']")
    assert kept.model_extra == {word: {"a": [1]}}


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("scirpt", "script"),
        ("scripts", "script"),
        ("Script", "script"),
        ("comand", "command"),
        ("kinds", "kind"),
        ("progres", "progress"),
        ("resource", "resources"),
        ("time_out", "timeout"),
        ("triger", "trigger"),
        ("label_", "label"),
        ("lable", "label"),
    ],
)
def test_a_misspelt_attribute_is_suggested(wrong, right):
    """An attribute close to a known one is an error at its place that names the known one."""
    (problem,) = problems(f"workflow:\n  nodes:\n    a:\n      exec: x\n      {wrong}: y\n")
    assert (problem.line, problem.column) == (5, 7)
    assert f"'{wrong}'" in problem.message and f"'{right}'" in problem.hint
    assert "'a'" in problem.message, "the job is named"


def test_strict_refuses_every_unknown_attribute():
    """With `--strict` each unknown attribute is an error at its place."""
    text = "workflow:\n  nodes:\n    a:\n      exec: x\n      owner: me\n    b: {exec: y, colour: red}\n"
    assert len(parse(text).jobs) == 2
    found = problems(text, strict=True)
    assert [(p.line, p.column) for p in found] == [(5, 7), (6, 18)]
    assert "'a'" in found[0].message and "'owner'" in found[0].message
    assert "'b'" in found[1].message and "'colour'" in found[1].message


# ---- errors --------------------------------------------------------------------------------------------------------

ALL_AT_ONCE = """\
workflow:
  nodes:
    fetch:
      script: nowhere.sh
      timeout: -5
    train:
      exec: x
      scirpt: y
      progress: abc
      env: {1A: x}
    eval: [1, 2]
    a/b: {exec: x}
    local:
      exec: x
      host: elsewhere
      args: ["{fetsh.rows}", "{nowhere}"]
    idle:
    loop1: {exec: x}
    loop2: {exec: x}
  dependencies:
    - fetch, trian
    - loop1, loop2, loop1
    - train,, local
  max_paralel: 3
  max_parallel: many
"""

EXPECTED = [
    (4, 7, "nowhere.sh"),
    (5, 7, "timeout"),
    (8, 7, "did you mean 'script'"),
    (9, 7, "progress"),
    (10, 13, "1A"),
    (11, 5, "eval"),
    (12, 5, "a/b"),
    (15, 7, "kind: ssh"),
    (16, 14, "fetsh.rows"),
    (16, 30, "{nowhere}"),
    (17, 5, "idle"),
    (21, 7, "did you mean 'train'"),
    (22, 7, "loop1 → loop2 → loop1"),
    (23, 7, "comma"),
    (24, 3, "did you mean 'max_parallel'"),
    (25, 3, "max_parallel"),
]


def test_all_errors_of_a_file_at_once():
    """A file with sixteen mistakes gets sixteen lines `file:line:column: what; what to do`, each at its place."""
    found = problems(ALL_AT_ONCE)
    assert [(p.line, p.column) for p in found if (p.line, p.column, p.message) and p.line != 4] == [
        place[:2] for place in EXPECTED if place[0] != 4
    ]
    for line, column, words in EXPECTED[1:]:
        assert any(p.line == line and p.column == column and words in str(p) for p in found), (line, column, words)


def test_a_missing_script_is_told_although_its_job_has_another_error():
    """Problems of two kinds in one job are told together, not one after the other."""
    assert any("nowhere.sh" in str(p) and p.line == 4 for p in problems(ALL_AT_ONCE))


def test_the_text_of_an_error():
    """An error's text is `file:line:column: what; what to do`, one line each, in the order of the file."""
    with pytest.raises(InputError) as caught:
        parse("workflow:\n  nodes:\n    b: {exec: x, scirpt: y}\n    a: {kind: moon, exec: x}\n")
    first, second = str(caught.value).split("\n")
    assert first.startswith("w.yaml:3:18: ") and first.endswith("; did you mean 'script'?")
    assert second.startswith("w.yaml:4:9: ") and "moon" in second and "'local'" in second


def at(text):
    """The places and texts of all problems."""
    return [(p.line, p.column, str(p)) for p in problems(text)]


ONE_ERROR = {
    "empty": ("", 1, 1, "empty"),
    "only a comment": ("# later\n", 1, 1, "empty"),
    "no workflow": ("nodes: {a: {exec: x}}\n", 1, 1, "workflow:"),
    "another program's top": ("cloudmesh:\n  nodes: {a: {exec: x}}\n", 1, 1, "workflow:"),
    "a list": ("- a\n- b\n", 1, 1, "workflow:"),
    "a word": ("hello", 1, 1, "workflow:"),
    "workflow is a text": ("workflow: hello\n", 1, 1, "workflow"),
    "workflow is empty": ("workflow:\n", 1, 1, "workflow"),
    "no nodes": ("workflow:\n  dependencies: []\n", 1, 1, "nodes"),
    "nodes are empty": ("workflow:\n  nodes:\n", 2, 3, "nodes"),
    "nodes are a list": ("workflow:\n  nodes: [a, b]\n", 2, 3, "nodes"),
    "a job is a text": ("workflow:\n  nodes:\n    a: run.sh\n", 3, 5, "a"),
    "duplicate key": ("workflow:\n  nodes:\n    a: {exec: x}\n    a: {exec: y}\n", 4, 5, "'a' is there twice"),
    "duplicate attribute": ("workflow: {nodes: {a: {exec: x, exec: y}}}", 1, 33, "'exec' is there twice"),
    "tab": ("workflow:\n  nodes:\n\ta: {exec: x}\n", 3, 1, "tab"),
    "tab after blanks": ("workflow:\n  nodes:\n  \ta: {exec: x}\n", 3, 3, "tab"),
    "open quote": ("workflow:\n  nodes:\n    a: {exec: 'x}\n", 4, 1, "quote"),
    "open bracket": ("workflow: {nodes: {a: {exec: x}\n", 2, 1, "YAML"),
    "two documents": ("workflow: {nodes: {a: {exec: x}}}\n---\nb: 1\n", 2, 1, "document"),
    "list as a key": ("workflow:\n  nodes:\n    [a, b]: {exec: x}\n", 3, 5, "key"),
    "unknown alias": ("workflow:\n  nodes:\n    a: *b\n", 3, 8, "alias"),
    "python object": ("workflow:\n  nodes:\n    a: !!python/object:os.system {}\n", 3, 8, "python/object"),
    "alias in itself": ("workflow:\n  nodes: &n\n    a: {exec: x, params: {n: *n}}\n", 3, 30, ""),
    "control character": ("workflow:\n  nodes:\n    a: {exec: 'x\x07'}\n", 3, 17, "character"),
    "nul": ("workflow:\n  nodes:\n    a\0: {exec: x}\n", 3, 6, "character"),
    "unknown dependency": ("workflow:\n  nodes: {a: {exec: x}}\n  dependencies:\n  - a, b\n", 4, 5, "'b'"),
    "bad brackets": ("workflow:\n  nodes: {a: {exec: x}}\n  dependencies:\n  - a,[b,c]\n", 4, 5, "["),
    "cycle": ("workflow:\n  nodes: {a: {exec: x}, b: {exec: x}}\n  dependencies:\n  - a,b,a\n", 4, 5, "a → b → a"),
    "waits for itself": ("workflow:\n  nodes:\n    a:\n      exec: x\n      after: a\n", 5, 7, "a → a"),
    "edge without end": ("workflow: {nodes: {a: {exec: x}}, dependencies: {a-b: {source: a}}}", 1, 50, ""),
    "params by two words": ("workflow: {params: {a: 1}, parameters: {b: 2}, nodes: {a: {exec: x}}}", 1, 28, "params"),
    "edge of another form": ("workflow: {nodes: {a: {exec: x}, b: {exec: x}}, dependencies: {b: a}}", 1, 64, ""),
    "edge as a list": ("workflow: {nodes: {a: {exec: x}, b: {exec: x}}, dependencies: {b: [a]}}", 1, 64, ""),
    "dependencies are a number": ("workflow: {nodes: {a: {exec: x}}, dependencies: 5}", 1, 35, "dependenc"),
    "dependency is a mapping": ("workflow: {nodes: {a: {exec: x}}, dependencies: [{a: b}]}", 1, 50, "names"),
    "a missing name": ("workflow: {nodes: {a: {exec: x}}, dependencies: ['a,']}", 1, 50, "comma"),
    "name and key": ("workflow:\n  nodes:\n    a:\n      name: b\n      exec: x\n", 4, 7, "'b'"),
    "nothing to run": ("workflow:\n  nodes:\n    a: {label: x}\n", 3, 5, "a.sh"),
    "script and command": ("workflow:\n  nodes:\n    a: {script: s.sh, exec: x}\n", 3, 5, "script"),
    "two words for one thing": ("workflow:\n  nodes:\n    a: {command: y, exec: x}\n", 3, 5, "command"),
    "a program as a script": ("workflow:\n  nodes:\n    a: {script: prog.exe}\n", 3, 9, "exec"),
    "progress abc": ("workflow:\n  nodes:\n    a: {exec: x, progress: abc}\n", 3, 18, "{n}"),
    "progress 101": ("workflow:\n  nodes:\n    a: {exec: x, progress: 101}\n", 3, 18, "100"),
    "progress with two n": ("workflow:\n  nodes:\n    a: {exec: x, progress: '{n} of {n}'}\n", 3, 18, "{n}"),
    "kind": ("workflow:\n  nodes:\n    a: {exec: x, kind: moon}\n", 3, 18, "'ssh'"),
    "trigger": ("workflow:\n  nodes:\n    a: {exec: x, trigger: often}\n", 3, 18, "all_done"),
    "ssh without a host": ("workflow:\n  nodes:\n    a: {exec: x, kind: ssh}\n", 3, 18, "host"),
    "host as an option": ("workflow:\n  nodes:\n    a: {exec: x, kind: ssh, host: -oProxyCommand=x}\n", 3, 29, "host"),
    "open quote in args": ('workflow:\n  nodes:\n    a: {exec: x, args: "don\'t"}\n', 3, 18, "args"),
    "args entry": ("workflow:\n  nodes:\n    a: {exec: x, args: [a, [b]]}\n", 3, 28, "args"),
    "cpus": ("workflow:\n  nodes:\n    a:\n      exec: x\n      resources: {cpus: 0}\n", 5, 19, "cpus"),
    "memory": ("workflow:\n  nodes:\n    a: {exec: x, resources: {memory: lots}}\n", 3, 30, "memory"),
    "time": ("workflow:\n  nodes:\n    a: {exec: x, timeout: soon}\n", 3, 18, "timeout"),
    "unknown part of retry": ("workflow:\n  nodes:\n    a: {exec: x, retry: {mx: 1}}\n", 3, 26, "mx"),
    "unknown part of files": ("workflow:\n  nodes:\n    a: {exec: x, files: {inn: [a]}}\n", 3, 26, "inn"),
    "host port": ("workflow:\n  nodes: {a: {exec: x}}\n  hosts: {box: {port: 99999}}\n", 3, 17, "port"),
    "host word": ("workflow:\n  nodes: {a: {exec: x}}\n  hosts: {box: {adress: b}}\n", 3, 17, "address"),
    "params": ("workflow:\n  nodes: {a: {exec: x}}\n  params: [1]\n", 3, 3, "params"),
    "max_parallel": ("workflow:\n  nodes: {a: {exec: x}}\n  max_parallel: 0\n", 3, 3, "max_parallel"),
    "misspelt section": ("workflow:\n  nodes: {a: {exec: x}}\n  dependancies: []\n", 3, 3, "'dependencies'"),
    "gateway": ("workflow:\n  nodes:\n    a: {exec: x, kernel_gateway: host}\n", 3, 18, "kernel_gateway"),
    "unknown name in braces": ("workflow:\n  nodes:\n    a: {exec: x, args: ['{siz}'], size: 3}\n", 3, 25, "size"),
    "attribute in braces": ("workflow:\n  nodes:\n    a: {exec: x, args: ['{x.__class__}']}\n", 3, 25, "__class__"),
    "json in args": ("workflow:\n  nodes:\n    a: {exec: x, env: {J: '{\"k\": 1}'}}\n", 3, 24, "{{"),
}


@pytest.mark.parametrize("name", ONE_ERROR)
def test_one_error_and_its_place(name):
    """Each mistake alone gives exactly one problem, at the exact line and column, with the word that helps."""
    text, line, column, words = ONE_ERROR[name]
    found = at(text)
    assert [item[:2] for item in found] == [(line, column)]
    assert words in found[0][2] and found[0][2].startswith(f"w.yaml:{line}:{column}: ")


@pytest.mark.parametrize("name", ONE_ERROR)
def test_every_error_says_what_to_do(name):
    """Each problem has a next step: after the semicolon stands what to write instead."""
    assert all(problem.hint for problem in problems(ONE_ERROR[name][0]))


def test_bytes_that_are_not_utf_8():
    """A file in another encoding is told so at the byte."""
    (problem,) = problems("workflow:\n  nodes:\n    ä: {exec: x}\n".encode("latin-1"))
    assert (problem.line, problem.column) == (3, 5) and "UTF-8" in str(problem)


BAD_NAMES = {
    "slash": "a/b",
    "backslash": "a\\b",
    "parent folder": "..",
    "parent folder inside": "a..b",
    "hidden": ".a",
    "newline": "a\nb",
    "tab": "a\tb",
    "single quote": "a'b",
    "double quote": 'a"b',
    "backtick": "a`b",
    "comma": "a,b",
    "brackets": "a[1]",
    "braces": "a{b}",
    "redirection": "a>b",
    "pipe": "a|b",
    "option": "-rf",
    "leading blank": " a",
    "trailing blank": "a ",
    "empty": "",
    "300 characters": "n" * 300,
    "escape": "a\x1b[2Jb",
    "delete": "a\x7fb",
    "c1 control": "a\x9bb",
    "right to left": "a\u202eb",
    "isolate": "a\u2066b",
    "mark": "a\u200fb",
    "arabic mark": "a\u061cb",
    "line separator": "a\u2028b",
    "zero width": "a\u200bb",
}


@pytest.mark.parametrize("case", BAD_NAMES)
def test_names_that_could_be_mistaken(case):
    """A name that could be a path, an option, a list or a trick on the eye is refused at its place, safely shown."""
    text = json.dumps({"workflow": {"nodes": {BAD_NAMES[case]: {"exec": "x"}}}})
    (problem,) = problems(text)
    assert (problem.line, problem.column) == (1, text.index("{", text.index("nodes")) + 2)
    assert "name" in problem.message and len(str(problem)) < 500
    assert all(letter.isprintable() for letter in str(problem))


HOSTILE = "a\x1b[2Jb\u202ec"
HOSTILE_PLACES = {
    "dependency": {"nodes": {"a": {"exec": "x"}}, "dependencies": [f"a, {HOSTILE}"]},
    "entry": {"nodes": {"a": {"exec": "x"}}, "dependencies": [[HOSTILE, "a"]]},
    "section": {"nodes": {"a": {"exec": "x"}}, "dependencies\x1b": []},
    "script": {"nodes": {"a": {"script": f"{HOSTILE}.sh"}}},
    "suffix": {"nodes": {"a": {"script": HOSTILE}}},
    "host": {"nodes": {"a": {"exec": "x", "host": HOSTILE}}},
    "attribute": {"nodes": {"a": {"exec": "x", "script\x1b": "x"}}},
    "value": {"nodes": {"a": {"exec": "x", "timeout": HOSTILE}}},
    "name": {"nodes": {"a": {"exec": "x", "name": HOSTILE}}},
    "braces": {"nodes": {"a": {"exec": "x", "args": [f"{{{HOSTILE}}}"]}}},
    "environment": {"nodes": {"a": {"exec": "x", "env": {HOSTILE: "x"}}}},
    "workflow": HOSTILE,
}


@pytest.mark.parametrize("where", HOSTILE_PLACES)
def test_no_error_carries_control_codes(where):
    """Whatever a file holds, the text of its errors cannot steer a terminal or turn the reading direction."""
    for problem in problems(json.dumps({"workflow": HOSTILE_PLACES[where]})):
        assert all(letter.isprintable() for letter in str(problem))


def test_a_key_with_control_codes_that_is_there_twice():
    """The error about equal keys shows them safely too."""
    key = json.dumps(HOSTILE)
    (problem,) = problems(f"workflow: {{nodes: {{{key}: {{exec: x}}, {key}: {{exec: y}}}}}}")
    assert all(letter.isprintable() for letter in str(problem))


@pytest.mark.parametrize(
    "name", ["a", "fetch-data", "job-login.hpc.edu-3", "two words", "größe", "数据", "a" * 200, "1"]
)
def test_names_that_are_fine(name):
    """Names in any script, with dots, blanks and dashes inside, are names."""
    assert list(parse(json.dumps({"workflow": {"nodes": {name: {"exec": "x"}}}})).jobs) == [name]


def test_a_cycle_is_named_whole():
    """The cycle is told as a path of names, also when it is only a part of the graph."""
    nodes = ", ".join(f"{name}: {{exec: x}}" for name in "abcdef")
    (problem,) = problems(f"workflow:\n  nodes: {{{nodes}}}\n  dependencies:\n  - a, b, c, d, f\n  - d, e, b\n")
    cycle = problem.message.rsplit(": ", 1)[1].split(" → ")
    assert cycle[0] == cycle[-1] and sorted(cycle[1:]) == ["b", "c", "d", "e"]


# ---- size ----------------------------------------------------------------------------------------------------------


def nested(depth):
    """A file with a value in this many brackets."""
    return "workflow: {nodes: {a: {exec: x, params: {p: " + "[" * depth + "]" * depth + "}}}}"


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
HEAVY = {
    "alias bomb": BOMB + "workflow: {nodes: {a: {exec: x, params: {p: *a11}}}}\n",
    "wide aliases": "a: &a [" + "x, " * 1000 + "x]\nb: [" + "*a, " * 10_000 + "x]\nworkflow: {nodes: {a: {exec: x}}}",
    "deep brackets": nested(50_000),
    "deep braces": "{a: " * 50_000 + "}" * 50_000,
    "deep dashes": "- " * 50_000,
    "deep indentation": "".join(" " * n + f"k{n}:\n" for n in range(1500)),
    "too large": "# " + "x" * 2_100_000,
    "huge number": "workflow: {nodes: {a: {exec: x, params: {n: " + "9" * 5000 + "}}}}",
    "endless range": "workflow: {nodes: {j0: {exec: x}}, dependencies: ['j[0-99999999]']}",
    "many endless ranges": "workflow: {nodes: {j0: {exec: x}}, dependencies: [" + "'j[0-99999]', " * 5 + "j0]}",
    "hundreds of unknown names": "workflow:\n  nodes:\n"
    + "".join(f"    job_{n}: {{exec: x}}\n" for n in range(500))
    + "  dependencies:\n"
    + "".join(f"  - job-{n}, job-{n + 1}\n" for n in range(500)),
    "ranges that together name a million jobs": "workflow:\n  nodes: {j0: {exec: x}}\n  dependencies:\n"
    + "  - j[0-9999]\n" * 100,
    "a long list for a text": "workflow: {nodes: {a: {exec: [" + "x, " * 600_000 + "x]}}}",
    "thousands of wrong values": "workflow:\n  nodes:\n"
    + "".join(f"    j{n}: {{timeout: 1 hour, exec: y}}\n" for n in range(5000)),
    "thousands of misspelt words": "workflow:\n  nodes:\n"
    + "".join(f"    j{n}: {{scirpt: x, exec: y}}\n" for n in range(3000)),
    "thousands of names in braces": "workflow:\n  nodes:\n"
    + "".join(f"    j{n}: {{exec: y, args: ['{{j{n}x.rows}}', '{{what}}']}}\n" for n in range(3000)),
}


@pytest.mark.parametrize("name", HEAVY)
def test_heavy_input_is_refused_fast(name):
    """Bombs, deep nesting, large files and thousands of mistakes are refused within two seconds."""
    start = time.process_time()
    found = problems(HEAVY[name])
    assert time.process_time() - start < 2, "seconds of processor time"
    assert found and all(p.line >= 1 and p.column >= 1 for p in found)


def test_ordinary_depth_is_fine():
    """Values may be nested as deep as anybody writes them."""
    assert job("exec: x, params: {p: " + "[" * 50 + "]" * 50 + "}")


# ---- anything at all -----------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
WORDS = st.sampled_from(
    ["start", "a", "b", "exec", "script", "name", "args", "env", "params", "max", "on", "in", "source"]
)
VALUES = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(WORDS | st.text(max_size=4), v, max_size=3)
)
GOOD = {
    "workflow": {
        "params": {"size": 3},
        "hosts": {"box": {"address": "b", "port": 22}},
        "nodes": {
            "a": {"name": "a", "exec": "x", "args": ["{size}"], "env": {"A": "1"}, "retry": {"max": 1, "on": ["lost"]}},
            "b": {"script": "s.sh", "kind": "ssh", "host": "box", "files": {"in": ["x"]}, "resources": {"cpus": 2}},
            "c": {"command": "y", "after": ["a"], "params": {"q": "{b.rows}"}, "timeout": "1m", "progress": 1},
        },
        "dependencies": ["start, a", ["b", "c"]],
    }
}


def places(value, path=()):
    """Every path into a value."""
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


def changed(value, path, new):
    """A copy of a value with another part at `path`."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(places(GOOD), key=str)), VALUES)
def test_any_value_at_any_place_is_read_or_explained(path, new):
    """Whatever stands at whatever place of a file, the answer is a workflow or problems with places."""
    text = yaml.safe_dump(changed(GOOD, path, new), allow_unicode=True)
    found = ()
    try:
        flow = parse(text, files=("s.sh",))
        assert flow.jobs and all(end in flow.jobs for edge in flow.edges for end in edge)
    except SpecError as error:
        found = error.problems or [None]
    assert all(1 <= p.line <= text.count("\n") + 1 and p.column >= 1 and p.message for p in found)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="wa:-[]{}&*!|>'\"#%@, \n\t0\u00e4\x00", max_size=60) | st.binary(max_size=60))
def test_any_text_is_read_or_explained(text):
    """Whatever bytes or characters a file holds, there is never another exception than SpecError."""
    with pytest.raises(SpecError) as caught:
        parse(text)
    assert all(problem.line >= 1 and problem.column >= 1 for problem in caught.value.problems)


# ---- JSON Schema ---------------------------------------------------------------------------------------------------

GOOD_TEXTS = {
    **{path.stem: path.read_text(encoding="utf-8") for path in DATA.glob("*.yaml") if "printed" not in path.name},
    "nothing but names": "workflow: {nodes: {a: , b: }}",
    "no dependencies": "workflow: {nodes: {a: {exec: x}}, dependencies: }",
    "one dependency": "workflow: {nodes: {a: {exec: x}}, dependencies: 'start, a'}",
    "other words": "workflow: {parameters: {n: 1}, nodes: {a: {command: x, parameters: {m: 2}, owner: me, retry: 2}}}",
    "payload kinds": "workflow: {nodes: {a: {exec: x, kind: python, args: '--size 3', timeout: 10m}}}",
}


def test_schema_names_every_attribute():
    """The schema is one object that describes workflow, nodes and every attribute of a job."""
    schema = json.loads(json.dumps(spec.schema()))
    assert schema["type"] == "object" and "workflow" in schema["properties"] and schema["required"] == ["workflow"]
    assert set(schema["$defs"]["Job"]["properties"]) >= ROWS | {"kind", "host", "resources"}


def test_schema_is_valid():
    """The schema obeys its own dialect of JSON Schema."""
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(spec.schema())


@pytest.mark.parametrize("name", GOOD_TEXTS)
def test_schema_accepts_what_the_program_accepts(name):
    """An editor that uses the schema underlines nothing in a good file."""
    jsonschema = pytest.importorskip("jsonschema")
    parse(GOOD_TEXTS[name], files=(*FIGURE_2, *SAVED, "prepare.sh", "train.py", "a.sh", "b.sh"))
    value = YAML(typ="safe").load(GOOD_TEXTS[name])  # YAML 1.2, as editors read it
    errors = list(jsonschema.Draft202012Validator(spec.schema()).iter_errors(value))
    assert [(error.json_path, error.message[:80]) for error in errors] == []


@pytest.mark.parametrize(
    "case", ["nodes are a list", "workflow is a text", "progress 101", "cpus", "trigger", "host port"]
)
def test_schema_refuses_what_the_program_refuses(case):
    """The schema tells the plain mistakes of type and range already in the editor."""
    jsonschema = pytest.importorskip("jsonschema")
    value = yaml.safe_load(ONE_ERROR[case][0])
    assert not jsonschema.Draft202012Validator(spec.schema()).is_valid(value)


def test_an_output_needs_a_dependency():
    """What names the output of a job that need not end before is told the dependency that is missing."""
    nodes = "workflow:\n  nodes:\n    a: {exec: x}\n    b: {exec: x}\n    c: {exec: x, args: ['{a.rows}']}\n"
    (problem,) = problems(nodes + "  dependencies: ['b, c']\n")
    assert (problem.line, problem.column) == (5, 25) and "'a, c'" in problem.hint
    assert parse(nodes + "  dependencies: ['a, b, c']\n").jobs["c"].args == ("{a.rows}",)
