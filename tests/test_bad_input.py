"""The mistakes that users really make, through the command line: one clear message, exit code 2, nothing changed."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

SECONDS, MEGABYTES = 2, 200  # of processor time and memory, for each refusal


@dataclass(frozen=True)
class Answer:
    """What one command said, and what it cost."""

    code: int
    out: str
    err: str
    seconds: float
    megabytes: float


@pytest.fixture
def cc(tmp_path, monkeypatch):
    """Run the command line in a folder of its own with a store of its own."""
    monkeypatch.setenv("CC_HOME", str(tmp_path / "home"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return call


# The memory of a child counts from its parent's, so a small program in between starts the command and measures it.
MEASURE = """
import os, signal, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
signal.alarm(30)
_, status, usage = os.wait4(pid, 0)
unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
cost = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit
print(os.waitstatus_to_exitcode(status), *cost, file=open("../cost", "w"))
"""


def call(*words, **environment):
    """Run one command of `jupyter cc` here and measure it; a command that hangs is ended."""
    command = [sys.executable, "-I", "-S", "-c", MEASURE, sys.executable, "-m", "cc_notebook.cli", *words]
    done = subprocess.run(
        command, capture_output=True, stdin=subprocess.DEVNULL, env=os.environ | environment, timeout=60
    )
    code, seconds, megabytes = Path("../cost").read_text().split()
    out, err = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
    return Answer(int(code), out, err, float(seconds), float(megabytes))


def check_refused(answer, *words, errors=1):
    """The answer is a refusal as it should be, and its text has these words."""
    said = answer.err[-1000:]
    assert answer.code == 2, said
    assert "Traceback" not in answer.err + answer.out
    assert answer.out == ""
    lines = answer.err.splitlines()
    if not answer.err.startswith("Usage:"):
        assert len(lines) == errors and all(line.startswith("error: ") for line in lines), said
    assert all(letter.isprintable() or letter == "\n" for letter in answer.err)
    assert all(len(line) < 1000 for line in lines)
    assert all(word in answer.err for word in words), said
    runs = Path(os.environ["CC_HOME"]) / "runs"
    assert not runs.exists() or not list(runs.iterdir())
    assert not list(Path().glob("*-runs"))
    assert answer.seconds < SECONDS and answer.megabytes < MEGABYTES, (answer.seconds, answer.megabytes)


def file(text, name="w.yaml"):
    """A workflow file in the current folder."""
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return name


def nodes(attributes, name="a"):
    """A workflow of one job with these attributes in one line."""
    return f"workflow:\n  nodes:\n    {name}: {{{attributes}}}\n"


def named(name):
    """A workflow of one job of this name."""
    return json.dumps({"workflow": {"nodes": {name: {"exec": "touch ran"}}}})


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
PAIR = "workflow:\n  nodes:\n    a: {exec: touch ran}\n    b: {exec: touch ran}\n"

FILES = {
    "cycle": (PAIR + "  dependencies:\n  - a, b, a\n", ["w.yaml:6:5: ", "a → b → a"]),
    "unknown dependency": (PAIR + "  dependencies:\n  - a, bb\n", ["w.yaml:6:5: ", "'bb'", "did you mean 'b'"]),
    "missing script": (nodes("script: run.sh"), ["w.yaml:3:9: ", "'run.sh' does not exist"]),
    "duplicate key": (PAIR + "    a: {exec: x}\n", ["w.yaml:5:5: ", "'a' is there twice", "line 3"]),
    "tab": ("workflow:\n  nodes:\n\ta: {exec: x}\n", ["w.yaml:3:1: ", "tab"]),
    "misspelt attribute": (nodes("exec: x, scirpt: y"), ["w.yaml:3:18: ", "'scirpt'", "did you mean 'script'"]),
    "misspelt resources": (
        nodes("exec: x, resources: {memroy: 3G, partition: p}"),
        ["w.yaml:3:30: ", "'memroy'", "did you mean 'memory'"],
    ),
    "gpu for gpus": (nodes("exec: x, resources: {gpu: 1}"), ["w.yaml:3:30: ", "'gpu'", "did you mean 'gpus'"]),
    "no time": (nodes("exec: x, timeout: soon"), ["w.yaml:3:18: ", "'soon'", "write seconds, 10m, 1h or hh:mm:ss"]),
    "no number of tries": (nodes("exec: x, retry: many"), ["w.yaml:3:18: ", "'many'", "write how often"]),
    "no number of times": (nodes("exec: x, repeat: two"), ["w.yaml:3:18: ", "'two'", "write how often"]),
    "no size": (nodes("exec: x, resources: {memory: lots}"), ["w.yaml:3:30: ", "'lots'", "write bytes, 500M or 4G"]),
    "misspelt kind": (nodes("exec: x, kind: slrum"), ["w.yaml:3:18: a.kind: this should be", "did you mean 'slurm'?"]),
    "misspelt trigger": (nodes("exec: x, trigger: all_succes"), ["w.yaml:3:18: ", "did you mean 'all_success'?"]),
    "no dependency": (PAIR + "  dependencies:\n  - a, b\n  - c: d\n", ["w.yaml:7:5: dependencies: a dependency is"]),
    "empty file": ("", ["w.yaml:1:1: ", "empty"]),
    "not UTF-8": (nodes("exec: x", "ä").encode("latin-1"), ["w.yaml:3:5: ", "UTF-8"]),
    "NUL byte": (nodes("exec: x\0"), ["w.yaml:3:16: ", "character"]),
    "binary file": (bytes(range(256)) * 100, ["w.yaml:"]),
    "progress abc": (nodes("exec: x, progress: abc"), ["w.yaml:3:18: ", "0 to 100"]),
    "alias bomb": (BOMB + nodes("exec: x, params: {p: *a11}"), ["w.yaml:"]),
    "alias in itself": ("workflow:\n  nodes: &n\n    a: {exec: x, params: {p: *n}}\n", ["w.yaml:3:30: "]),
    "deep dashes": ("-  " * 50_000 + "\n", ["w.yaml:1:", "deep"]),
    "deep question marks": ("? " * 50_000 + "\n", ["w.yaml:1:", "deep"]),
    "too large": ("# " + "x" * 2_100_000 + "\n" + PAIR, ["w.yaml:1:1: ", "2,000,000"]),
    "kind local, foreign host": (nodes("exec: x, host: far.away"), ["w.yaml:3:18: ", "'far.away'", "kind: ssh"]),
    "nodes a list": ("workflow:\n  nodes: [a, b]\n", ["w.yaml:2:3: ", "nodes"]),
    "dependencies as a mapping": (PAIR + "  dependencies:\n    b: a\n", ["w.yaml:6:5: "]),
    "endless range": (PAIR + "  dependencies: ['b[0-99999999]']\n", ["w.yaml:5:"]),
}


@pytest.mark.parametrize("case", FILES)
def test_bad_files(cc, case):
    """Each bad file is refused, by `validate` and `run` in turn, with one line that names the place and helps."""
    text, words = FILES[case]
    command = ("validate", "run")[list(FILES).index(case) % 2]
    check_refused(cc(command, file(text)), *words)


def test_validate_and_run_say_the_same(cc):
    """Both commands read a file with the same check."""
    file("workflow:\n  nodes:\n    a: {script: no.sh}\n    b: {exec: x, kind: moon}\n")
    assert cc("validate", "w.yaml").err == cc("run", "w.yaml").err


NAMES = {
    "slash": ("a/b", "'/'"),
    "newline": ("a\nb", "name"),
    "quote": ("a'b", "name"),
    "300 characters": ("n" * 300, "300"),
    "option": ("-rf", "'-'"),
    "escape codes": ("a\x1b]0;owned\x07b", "name"),
    "right to left": ("a\u202egnp.b", "name"),
    "lone surrogate": ("a\ud800b", "w.yaml:1:"),
}


@pytest.mark.parametrize("case", NAMES)
def test_bad_names(cc, case):
    """A name that could be a path, an option or a trick is refused and cannot steer the terminal that shows it."""
    name, word = NAMES[case]
    check_refused(cc("run", file(named(name))), "w.yaml:1:", word)


def test_bad_names_in_a_script_file(cc):
    """A script outside the folder is only a path: it has to exist, and options and codes in it do no harm."""
    for script in ("../../no.sh", "a\x1b[2J\nb.sh", "x" * 300 + ".sh"):
        text = json.dumps({"workflow": {"nodes": {"a": {"script": script}}}})
        check_refused(cc("validate", file(text)), "not exist")


def test_many_mistakes_at_once(cc):
    """All mistakes of a file are told in one go, a line each, in the order of the file."""
    text = "workflow:\n  nodes:\n    a: {script: no.sh}\n    b: {exec: x, kind: moon}\n    c: {exec: x, scirpt: y}\n"
    answer = cc("validate", file(text + "  dependencies:\n  - a, d\n"))
    check_refused(answer, errors=4)
    assert [line.split(":")[2] for line in answer.err.splitlines()] == ["3", "4", "5", "7"]


def test_hundreds_of_mistakes_stay_fast(cc):
    """A generated file whose every dependency is misspelt is refused as fast as any other."""
    names = "".join(f"    job_{n}: {{exec: x}}\n" for n in range(1000))
    chain = "".join(f"  - job-{n}, job-{n + 1}\n" for n in range(500))
    answer = cc("validate", file(f"workflow:\n  nodes:\n{names}  dependencies:\n{chain}"))
    assert answer.code == 2 and "did you mean 'job_0'" in answer.err and "Traceback" not in answer.err
    assert answer.seconds < SECONDS and answer.megabytes < MEGABYTES, (answer.seconds, answer.megabytes)


def test_strict(cc):
    """`validate --strict` refuses what `validate` keeps."""
    name = file(nodes("exec: x, owner: me"))
    assert cc("validate", name).code == 0
    check_refused(cc("validate", "--strict", name), "w.yaml:3:18: ", "'owner'")


@pytest.mark.parametrize(
    ("command", "name", "words"),
    [
        ("validate", "folder", ["folder"]),
        ("run", "folder", ["folder"]),
        ("validate", "missing.yaml", ["missing.yaml", "No such file", "w.yaml"]),
        ("run", "missing", ["missing"]),
        ("validate", "w.yaml/inside.yaml", ["w.yaml/inside.yaml"]),
        ("validate", "x" * 300 + ".yaml", []),
        ("run", "x" * 5000, []),
        ("validate", "~nobody-here/w.yaml", ["nobody-here"]),
        ("run", "/dev/zero", ["/dev/zero"]),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_what_is_no_workflow_file(cc, command, name, words):
    """A folder, a missing file, an impossible path or a device is refused by name, with the files that are there."""
    Path("folder").mkdir()
    file(PAIR)
    answer = cc(command, name)
    check_refused(replace(answer, err=answer.err.replace(name, name[:20])), *words)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(cc):
    """A file without read permission is told as such."""
    Path(file(PAIR)).chmod(0)
    check_refused(cc("validate", "w.yaml"), "w.yaml", "Permission denied")


PARAMS = """\
workflow:
  params: {size: 3, rate: 0.5, name: x, on_gpu: false, sizes: [1, 2]}
  nodes:
    fetch: {exec: touch ran}
    train: {exec: touch ran}
  dependencies: [fetch, train]
"""

OPTIONS = {
    "param without =": (["--param", "size"], ["size", "KEY=VALUE"]),
    "unknown param": (["--param", "siez=3"], ["'siez'", "'size'"]),
    "text for a number": (["--param", "size=big"], ["'size'", "big"]),
    "number for a truth value": (["--param", "on_gpu=1"], ["'on_gpu'"]),
    "control codes": (["--param", "size=\x1b[2J"], ["size"]),
    "only an unknown job": (["--only", "fetsh"], ["'fetsh'", "'fetch'"]),
    "only and from": (["--only", "fetch", "--from", "train"], ["--only", "--from"]),
    "a picture of an unknown kind": (["--picture", "w.docx"], ["w.docx", ".svg"]),
    "unknown option": (["--paralel", "3"], ["--paralel"]),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_bad_options(cc, case):
    """A wrong option or param is refused before anything starts, with what would be right."""
    options, words = OPTIONS[case]
    check_refused(cc("run", file(PARAMS), *options), *words)
    assert not Path("ran").exists()


@pytest.mark.parametrize("command", ["show", "logs", "resume"])
def test_unknown_run(cc, command):
    """A run that does not exist is told by name; nothing is made for it."""
    answer = cc(command, "w-20260101-000000-abcd", *["a"] * (command in ("logs", "explain")))
    check_refused(answer, "runs")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder and the store of one finished run."""
    top = tmp_path_factory.mktemp("finished")
    (top / "work").mkdir()
    file("workflow:\n  nodes:\n    fetch: {exec: echo hello}\n", str(top / "work" / "w.yaml"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC_HOME", str(top / "home"))
        patch.chdir(top / "work")
        assert call("run", "w.yaml").code == 0
    return top


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["logs", "last", "fetsh"], ["'fetsh'", "'fetch'"]),
        (["logs", "last", "fetch", "--attempt", "9"], ["9"]),
        (["explain", "last", "nothing"], ["'nothing'", "fetch"]),
        (["retry", "last", "fetsh"], ["'fetsh'", "'fetch'"]),
        (["retry", "last"], ["fail"]),
        (["cancel", "last"], ["ended"]),
        (["show", "x\x1b[2J"], ["no run"]),
    ],
    ids=" ".join,
)
def test_unknown_job_or_impossible_request(finished, monkeypatch, words, said):
    """What a run does not have, or cannot do any more, is refused with what it has, and the run stays as it is."""
    monkeypatch.setenv("CC_HOME", str(finished / "home"))
    monkeypatch.chdir(finished / "work")
    (events,) = (finished / "home" / "runs").glob("*/events.jsonl")
    before = events.read_bytes()
    answer = call(*words)
    assert (answer.code, answer.out) == (2, ""), answer.err[-1000:]
    assert answer.err.count("\n") == 1 and answer.err.startswith("error: ") and "Traceback" not in answer.err
    assert all(word in answer.err for word in said) and "\x1b" not in answer.err
    after = [json.loads(line)["type"] for line in events.read_bytes()[len(before) :].splitlines()]
    assert set(after) <= {"engine", "refused"}


VERBS = ["--help", "show --help", "runs", "show last", "events last", "logs last fetch", "explain last fetch", "schema"]


@pytest.mark.parametrize("words", [*VERBS, "run w.yaml", "run w.yaml --json", "workflow status --name=w"])
def test_an_output_that_takes_nothing(finished, monkeypatch, words):
    """On a full disk every command says so in one line; where nobody reads on, it leaves as quietly as others do."""
    monkeypatch.setenv("CC_HOME", str(finished / "home"))
    monkeypatch.chdir(finished / "work")
    command = [sys.executable, "-m", "cc_notebook.cli", *words.split()]
    how = {"stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True, "timeout": 60}
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, check=False, **how)
    said = "error: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, said)
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as closed:
        done = subprocess.run(command, stdout=closed, check=False, **how)
    assert done.returncode == 1 and done.stderr == ""


def test_names_that_are_no_text(cc):
    """A name in another encoding than UTF-8, of a run, a file, a job or the folder, is refused; nothing is made."""
    file(PAIR)
    for words in (["show", "\udcff"], ["run", "\udcff.yaml"], ["new", "\udcff"], ["set", "a=\udcff"], ["\udcff"]):
        check_refused(cc(*words), "\\udcff", "UTF-8")
    os.mkdir("\udcff")
    os.rename("w.yaml", "\udcff/w.yaml")
    check_refused(cc("run", "\udcff/w.yaml"), "UTF-8")
    os.chdir("\udcff")
    check_refused(cc("run", "w.yaml"), "UTF-8")
    assert os.listdir() == ["w.yaml"]


def test_a_picture_that_cannot_be_written(cc):
    """That is told before the run starts; an older picture stays until there is a new one."""
    file(PAIR)
    check_refused(cc("run", "w.yaml", "--picture", "w.yaml/x.svg"), "w.yaml/x.svg cannot be written")
    check_refused(cc("run", "w.yaml", "--picture", "/proc/x.svg"), "/proc/x.svg cannot be written")
    Path("old.svg").write_text("old")
    assert cc("run", "w.yaml", "--picture", "old.svg", "--dry-run").code == 0
    assert cc("run", "w.yaml", "--picture", "new.svg", "--only", "none").code == 2
    assert Path("old.svg").read_text() == "old" and not Path("new.svg").exists()


def test_a_store_that_cannot_be_made(cc):
    """A store that is a file is refused with its name and the way out."""
    answer = cc("run", file(PAIR), CC_HOME=str(Path("w.yaml").absolute()))
    assert answer.code == 2 and "CC_HOME" in answer.err and "Traceback" not in answer.err and not Path("ran").exists()


def test_a_terminal_without_our_symbols(cc):
    """Where the output's encoding lacks arrows and ticks (a Windows pipe), tables and errors are shown all the same."""
    shown = cc("run", "--dry-run", file(PAIR), PYTHONIOENCODING="cp1252")
    assert shown.code == 0 and "Traceback" not in shown.err, shown.err[-300:]
    refused = cc("validate", file(FILES["cycle"][0]), PYTHONIOENCODING="cp1252")
    assert refused.code == 2 and "Traceback" not in refused.err and "cycle" in refused.err
    ran = cc("run", file(PAIR), PYTHONIOENCODING="cp1252")
    assert ran.code == 0 and "Traceback" not in ran.err, ran.err[-300:]
