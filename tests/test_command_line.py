"""The rest of the command line: the article's Figure 11, set, new, events, clean and doctor, as a user types them."""

import json
import os
import shlex
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import until, write

from cc_notebook import Workflow, runs
from cc_notebook.errors import InputError, nearest
from cc_notebook.views import table

WAIT = "while [ ! -e go ]; do sleep 0.05; done"
TWO = """\
# mine
workflow:
  nodes:
    a: {exec: touch ran}  # first
    b: {exec: 'true'}
  dependencies:
    - a, b
"""


def ok(done):
    """What a command printed, which ended well."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(done, *words):
    """The command ended with 2 and one clear text that has these words."""
    assert done.returncode == 2 and done.stderr.startswith("error: ") and "Traceback" not in done.stderr, done
    assert all(word in done.stderr for word in words), done.stderr


@pytest.fixture
def known(folder, cc):
    """The file of a workflow `two` that is known."""
    path = write(folder, "two.yaml", TWO)
    ok(cc("workflow", "add", "--filename=two.yaml"))
    return path


# ---- Figure 11, line by line ----------------------------------------------------------------------------------------

FIGURE_11 = {  # the line as printed, with jupyter in the place of cms; what was typed; what then is to be seen
    "workflow add [--name=NAME] [--job=JOB] ARGS...": (
        "add --name=two --job=c exec='echo \"x: [1\" # y' args='' timeout=10m env='{A: 1}' label='{name}\\n{progress}'",
        lambda path, said: (
            nodes(path)["c"]
            == {"exec": 'echo "x: [1" # y', "timeout": "10m", "env": {"A": 1}, "label": "{name}\\n{progress}"}
        ),
    ),
    "workflow add [--name=NAME] --filename=FILENAME": (
        "add --name=two --filename=more.yaml",
        lambda path, said: list(nodes(path)) == ["a", "b", "more"] and "# first" in path.read_text(),
    ),
    "workflow delete [--name=NAME] [--job=JOB]": (
        "delete --name=two --job=b",
        lambda path, said: list(nodes(path)) == ["a"] and "# mine" in path.read_text(),
    ),
    "workflow list [--name=NAME] [--job=JOB]": (
        "list --name=two --job=a",
        lambda path, said: said == "name: a\nexec: touch ran\n",
    ),
    "workflow run [--name=NAME] [--job=JOB] [--filename=FILENAME]": (
        "run --name=two --job=b",
        lambda path, said: "b done" in said and "a done" not in said and not path.with_name("ran").exists(),
    ),
    "workflow [--name=NAME] --dependencies=DEPENDENCIES": (
        '--name=two --dependencies="start,a,end"',
        lambda path, said: "    - start,a,end" in path.read_text().splitlines() and "# first" in path.read_text(),
    ),
    "workflow status --name=NAME [--output=OUTPUT]": (
        "status --name=two --output=json",
        lambda path, said: (
            [(row["name"], row["state"]) for row in json.loads(said)] == [("a", "ready"), ("b", "ready")]
        ),
    ),
    "workflow graph --name=NAME": (
        "graph --name=two",
        lambda path, said: said == f"{path.with_suffix('.svg')}\n" and "<svg" in path.with_suffix(".svg").read_text(),
    ),
}


def nodes(path):
    """The jobs in a file."""
    return yaml.safe_load(path.read_text())["workflow"]["nodes"]


@pytest.mark.parametrize("line", FIGURE_11)
def test_figure_11(line, known, folder, cc):
    """Each printed line does what it says, on a file whose comments stay."""
    write(folder, "more.yaml", "workflow: {nodes: {more: {exec: 'true'}}}\n")
    typed, seen = FIGURE_11[line]
    said = ok(cc("workflow", *shlex.split(typed)))
    assert seen(known, said), said + known.read_text()


def test_a_workflow_from_nothing(folder, store, cc):
    """Without a name it is `workflow` and lives in the store; it is built, run, shown and removed from any folder."""
    write(folder, "one.sh", "echo one\n")
    ok(cc("workflow", "add", f"script={folder}/one.sh"))
    ok(cc("workflow", "add", "--job=two", "exec=true", "retry=2"))
    ok(cc("workflow", "add", "--job=two", "timeout=1m", "retry="))
    ok(cc("workflow", "--dependencies=one,two"))
    path = store / "workflows" / "workflow" / "workflow.yaml"
    assert nodes(path) == {"one": {"script": f"{folder}/one.sh"}, "two": {"exec": "true", "timeout": "1m"}}
    assert ok(cc("workflow", "list")).split() == ["workflow", str(path)]
    assert ok(cc("workflow", "list", "--name=workflow")).split() == ["one", "two"]
    assert "two done" in ok(cc("workflow", "run"))
    assert [line.split(",")[1:3] for line in ok(cc("workflow", "status", "--output=csv")).splitlines()[1:]] == [
        ["one", "done"],
        ["two", "done"],
    ]
    assert [row["state"] for row in yaml.safe_load(ok(cc("workflow", "status", "--output=yaml")))] == ["done", "done"]
    assert "✓ done" in ok(cc("workflow", "status"))
    assert "removed" in ok(cc("workflow", "--name=workflow", "delete"))
    assert not path.parent.exists() and not list((store / "runs").iterdir()) and (folder / "one.sh").exists()


def test_add_by_file_makes_it_known(folder, cc):
    """`add --filename` without a known name remembers the file itself, and any command finds it by its stem."""
    path = write(folder, "here.yaml", TWO)
    assert "jobs: 2" in ok(cc("workflow", "add", "--filename=here.yaml"))
    assert str(path) in ok(cc("workflow", "list")) and path.read_text() == TWO
    assert ok(cc("run", "here", "--dry-run"))
    write(folder, "there.yaml", TWO)
    assert ok(cc("run", "there", "--dry-run"))  # nobody knows it, but it is in this folder
    assert "a done" in ok(cc("workflow", "run", "--filename=here.yaml"))


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("graph --name=tow", ["'tow'", "did you mean 'two'?"]),
        ("run --name=two --job=c", ["'c'"]),
        ("list --name=two --job=aa", ["'aa'", "'a'"]),
        ("add --name=two --job=c exec", ["exec: write KEY=VALUE"]),
        ("add --name=two --job=c exce=true", ["'exce'", "did you mean 'exec'?", "two.yaml stays as it was"]),
        ("add --name=two --job=c args='[1, 2'", ["args", "YAML"]),
        ("add --name=two --job=a after=b", ["cycle", "two.yaml stays as it was"]),
        ("add --name=two --job=c script=no.sh", ["'no.sh' does not exist"]),
        ("add --name=two --job=a name=c", ["the name 'c' differs from its key 'a'"]),
        ("add --name=two exec=true", ["--job", "--filename"]),
        ("add --name=two --job=c --filename=two.yaml", ["--job", "--filename"]),
        ("add --name=two --filename=no.yaml", ["no.yaml cannot be read", "there is two.yaml"]),
        ("add --name=two", ["--job", "--filename"]),
        ("add --name=../up --job=c exec=true", ["'../up'"]),
        ("add --name=/dev/null/w.yaml --job=c exec=true", ["/dev/null/w.yaml cannot be written"]),
        ("--name=two --dependencies=b,a", ["cycle", "a → b → a", "two.yaml stays as it was"]),
        ("--name=two --dependencies=a,bb", ["'bb'", "did you mean 'b'?"]),
        ("delete", ["--name=NAME", "--job=JOB"]),
        ("graph --name=two --output=x.docx", ["x.docx", ".svg"]),
    ],
)
def test_bad_input(typed, words, known, folder, store, cc):
    """What cannot be is refused with the next step, and nothing is changed."""
    refused(cc("workflow", *shlex.split(typed)), *words)
    assert known.read_text() == TWO and sorted(path.name for path in folder.iterdir()) == ["two.yaml"]
    assert not list((store / "workflows").iterdir())


# ---- remove_workflow ------------------------------------------------------------------------------------------------


def test_remove_workflow_takes_only_its_own(known, folder, store, cc):
    """The entry and the runs of this file go; the file, its scripts, and another file's runs of that name stay."""
    ok(cc("run", "two.yaml"))
    other = folder / "other"
    other.mkdir()
    write(other, "two.yaml", TWO)
    stays = Workflow(other / "two.yaml").run().wait(30)
    flow = Workflow(known)
    assert flow.remove_workflow() == 1 and flow.remove_workflow() == 0
    assert known.read_text() == TWO and (folder / "ran").exists() and not (folder / "two-runs").exists()
    assert [run.id for run in runs.all_runs()] == [stays.id] and (other / "two-runs" / stays.id / "a.log").exists()
    assert str(known) not in ok(cc("workflow", "list")) and str(other) in ok(cc("workflow", "list"))


def test_what_is_no_valid_workflow_any_more_can_be_deleted(known, cc):
    """A file that was broken after its runs is forgotten, and stays."""
    ok(cc("run", "two.yaml"))
    known.write_text("workflow: [")
    assert f"runs: 1; {known} stays" in ok(cc("workflow", "delete", "--name=two"))
    assert not ids() and known.read_text() == "workflow: ["


def test_add_keeps_what_is_not_named(folder, cc):
    """A change of one attribute leaves the others, also `name`, their order, and every comment."""
    path = write(
        folder, "w.yaml", "workflow:\n  nodes:\n    a:\n      name: a  # mine\n      exec: 'true'\n      retry: 1\n"
    )
    ok(cc("workflow", "add", "--name=w", "--job=a", "exec=false", "label="))
    assert path.read_text().splitlines()[3:] == ["      name: a  # mine", "      exec: 'false'", "      retry: 1"]


def test_remove_workflow_waits_for_the_end(folder, cc):
    """While a run has not ended nothing goes."""
    flow = Workflow(write(folder, "w.yaml", f"workflow: {{nodes: {{a: {{exec: '{WAIT}'}}}}}}\n"))
    first = flow.run()
    refused(cc("workflow", "delete", "--name=w"), first.id, "jupyter cc cancel")
    with pytest.raises(InputError, match="has not ended"):
        flow.remove_workflow()
    (folder / "go").touch()
    assert first.wait(30).folder.exists() and "w.yaml" in ok(cc("workflow", "list"))
    assert Workflow(name="never-saved").remove_workflow() == 0


def test_a_workflow_that_was_never_saved_is_known_by_its_runs(folder, cc):
    """`status` and `graph` show its newest run, and it is removed by its name; a file of that name is not touched."""
    flow = Workflow(name="built")
    flow.add_job("a", exec="true")
    flow.run().wait(30)
    flow.run().wait(30)
    assert "✓ done" in ok(cc("workflow", "status", "--name=built"))
    assert ok(cc("workflow", "graph", "--name=built")).strip() == str(folder / "built.svg")
    saved = Workflow(write(folder, "built.yaml", TWO))
    saved.run().wait(30)
    assert flow.remove_workflow() == 2 and len(ids()) == 1
    (folder / "built.yaml").unlink()
    flow.run().wait(30)
    assert "runs: 2" in ok(cc("workflow", "delete", "--name=built")) and not ids()


def test_an_empty_name_is_no_run(folder, cc):
    """What an unset variable of a shell leaves behind steers and removes nothing."""
    flow = Workflow(name="w")
    flow.add_job("a", exec=WAIT)
    run = flow.run()
    words = [["cancel", ""], ["pause", ""], ["resume", ""], ["clean", "--yes", ""]]
    for command in [*words, ["workflow", "add", "--run=", "--job=b", "exec=true"]]:
        refused(cc(*command), "there is no run ''")
    (folder / "go").touch()
    assert run.wait(30).state == "done" and set(run.status()["jobs"]) == {"a"}


def test_the_names_that_there_are(folder, cc):
    """A message with names tells each once, and says that there are more."""
    with pytest.raises(InputError, match=r"there is: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …$"):
        nearest("zz", [str(n // 2) for n in range(30)], "there is no number")
    with pytest.raises(InputError, match=r"there is: 0$"):
        nearest("zz", ["0", "0"], "there is no number")


def test_a_link_in_the_store_is_not_followed(folder, store, cc):
    """Where a link stands in the place of the workflow's folder in the store, what it shows stays."""
    ok(cc("workflow", "add", "--name=w", "--job=a", "exec=true"))
    (store / "workflows" / "w").rename(folder / "mine")
    (store / "workflows" / "w").symlink_to(folder / "mine")
    ok(cc("workflow", "delete", "--name=w"))
    assert (folder / "mine" / "w.yaml").exists()


# ---- set, new, events -----------------------------------------------------------------------------------------------


def test_set(folder, store, cc):
    """Variables are kept in the store, listed, shown by labels and removed."""
    assert "set KEY=VALUE" in ok(cc("set"))
    assert ok(cc("set", "site=Lab 5", "b=x=y")) == "b=x=y\nsite=Lab 5\n" == ok(cc("set"))
    write(folder, "w.yaml", "workflow: {nodes: {a: {exec: 'true', label: 'at {cm.site}'}}}\n")
    ok(cc("workflow", "graph", "--name=w.yaml", "--output=w.dot"))
    assert "at Lab 5" in (folder / "w.dot").read_text()
    assert ok(cc("set", "b=")) == "site=Lab 5\n"
    assert json.loads((store / "variables.json").read_text()) == {"site": "Lab 5"}
    refused(cc("set", "site"), "KEY=VALUE")


@pytest.mark.parametrize("template", ["hello", "notebooks", "example"])
def test_new(template, folder, cc):
    """What `new` makes runs as it is; nothing is overwritten, and an unknown template is told with the nearest."""
    said = ok(cc("new", "first", "--template", template))
    command = shlex.split(said.splitlines()[-1].partition("jupyter cc ")[2])
    assert command == ["run", "first.yaml"]
    ran = ok(cc(*command))
    assert " done" in ran.splitlines()[-1] and ok(cc("validate", "--strict", "first.yaml"))
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    refused(cc("new", "first", "--template", template), "first.yaml", "empty folder")
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    refused(cc("new", "second", "--template", template + "s"), f"did you mean '{template}'?")


def test_new_where_nothing_can_be_written(cc):
    """A folder that takes no files is told."""
    refused(cc("new", "/proc/self/first"), "/proc/self/", "cannot be written")


def test_events(folder, cc):
    """Each event is one line, or one JSON object; `--follow` goes on until the run has ended."""
    write(folder, "w.yaml", f"workflow: {{nodes: {{a: {{exec: '{WAIT}; exit 3'}}}}}}\n")
    run = Workflow("w.yaml").run()
    until(lambda: run.status("a")["state"] == "running")
    assert "a: attempt 1 claimed by process" in ok(cc("events", "last"))
    (folder / "go").touch()
    lines = ok(cc("events", "last", "--follow")).splitlines()
    assert "the run is failed" in lines[-1] and "exit code 3" in lines[-2]
    found = [json.loads(line) for line in ok(cc("events", "last", "--json")).splitlines()]
    assert [event["seq"] for event in found] == list(range(1, len(lines) + 1)) and found[-1]["type"] == "end"
    refused(cc("events", "nothing"), "no run 'nothing'")


# ---- clean ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ended(known):
    """Three ended runs of `two`, oldest first."""
    return [Workflow(known).run(new=True).wait(30) for _ in range(3)]


def ids():
    """The runs that are there."""
    return [run.id for run in runs.all_runs()]


def test_clean(ended, folder, store, cc):
    """Runs are shown with their size, and go only after a yes; the newest, the young and the unnamed can be spared."""
    first, second, third = ended
    asked = cc("clean", stdin=-3)
    refused(asked, "--yes")
    assert [line.split()[0] for line in asked.stdout.splitlines()] == ids() == [run.id for run in ended]
    assert "nothing to remove" in ok(cc("clean", "--yes", "--older-than", "1")) and len(ids()) == 3
    os.utime(first.folder / "events.jsonl", (time.time() - 90000,) * 2)
    assert first.id in ok(cc("clean", "--yes", "--older-than", "1")) and ids() == [second.id, third.id]
    assert "runs removed: 1" in ok(cc("clean", "--yes", "--keep", "1")) and ids() == [third.id]
    ok(cc("clean", third.id, "last", "--yes"))
    assert not list((store / "runs").iterdir()) and not (folder / "two-runs").exists()


def test_clean_spares_what_has_not_ended(ended, folder, cc):
    """An unfinished run stays and is told; asked for by name, it is refused."""
    write(folder, "w.yaml", f"workflow: {{nodes: {{a: {{exec: '{WAIT}'}}}}}}\n")
    running = Workflow("w.yaml").run()
    refused(cc("clean", running.id, ended[0].id, "--yes"), running.id, "jupyter cc cancel")
    assert len(ids()) == 4
    assert f"stays: run {running.id} has not ended" in ok(cc("clean", "--yes")) and ids() == [running.id]
    (folder / "go").touch()
    assert running.wait(30).state == "done"


def test_clean_leaves_executed_notebooks(ended, folder, cc):
    """Beside the workflow only the links to logs go; `--results` takes the runs' folders, and follows no link."""
    results = folder / "two-runs"
    first, second, third = (results / run.id for run in ended)
    kept = write(first, "a.ipynb", "{}")
    write(second, "a.ipynb", "{}")
    assert "executed notebooks stay" in ok(cc("clean", ended[0].id, "--yes"))
    assert list(first.iterdir()) == [kept]
    ok(cc("clean", ended[1].id, "--yes", "--results"))
    assert not second.exists()
    results.rename(folder / "elsewhere")
    results.symlink_to(folder / "elsewhere")
    ok(cc("clean", "--yes", "--results"))
    assert (folder / "elsewhere" / third.name / "a.log").is_symlink() and not ids()


def test_clean_does_not_take_a_link_for_a_run(ended, folder, store, cc):
    """A link in the place of a run is told, and neither it nor what it shows is touched."""
    mine = folder / "mine"
    ended[0].folder.rename(mine)
    ended[0].folder.symlink_to(mine)
    before = sorted(mine.rglob("*"))
    refused(cc("clean", ended[0].id, "--yes"), "is a link")
    assert "is a link" in ok(cc("clean", "--yes")) and sorted(mine.rglob("*")) == before
    assert ids() == [ended[0].id]


def test_clean_takes_what_was_left_over(known, folder, store, cc):
    """Half a run that a kill left an hour ago goes, and the memory of a file that is gone; a younger half stays."""
    old, young, link = (store / "runs" / f".{name}" for name in ("old", "young", "link"))
    old.mkdir()
    write(old, "run.json", "{")
    young.mkdir()
    link.symlink_to(folder)
    os.utime(old, (time.time() - 4000,) * 2)
    known.unlink()
    assert str(old) in ok(cc("clean", "--yes"))
    assert not old.exists() and young.exists() and link.is_symlink()
    assert not list((store / "register").iterdir())


def test_clean_with_a_damaged_run(ended, cc):
    """A run whose `run.json` is damaged has ended all the same, and goes."""
    (ended[0].folder / "run.json").write_text("{")
    assert "runs removed: 3" in ok(cc("clean", "--yes"))


@pytest.mark.sweep
def test_clean_killed_anywhere_leaves_no_half_run(known, folder, store, cc, monkeypatch, every):
    """A run is whole or not seen, wherever `clean` was killed; the rest of it goes an hour later."""
    killer = os.pathsep.join(map(str, (Path(__file__).parent / "killer", Path(__file__).parent.parent)))
    killed = 0
    for point in range(1, 25, max(1, every // 3)):
        run = Workflow(known).run(new=True).wait(30)
        with monkeypatch.context() as patch:
            for key, value in {"PYTHONPATH": killer, "CC_KILL_PROGRAM": "cc_notebook.cli", "CC_KILL_AT": point}.items():
                patch.setenv(key, str(value))
            killed += cc("clean", "--yes").returncode < 0
        assert all(found.finished and len(found.status()["jobs"]) == 2 for found in runs.all_runs())
        for half in (store / "runs").glob(".*"):
            os.utime(half, (time.time() - 4000,) * 2)
        ok(cc("clean", "--yes"))
        assert not list((store / "runs").iterdir()) and not run.folder.exists()
    assert killed > 3


# ---- doctor ---------------------------------------------------------------------------------------------------------


def test_doctor(cc, store):
    """Everything that the tests need works here; each trial is one line, or one JSON object."""
    found = {check["what"]: check for check in json.loads(ok(cc("doctor", "--json")))}
    assert found["store"]["told"] == str(store) and found["kernel"]["works"] and found["pictures"]["works"]
    assert all(check["works"] is not False and not (check["works"] and check["mend"]) for check in found.values())


def test_an_engine_that_is_not_needed_ends(cc, folder, store):
    """`run` loads an engine while it reads the workflow: one that is wrong, or whose run has one, leaves it no work."""

    def engines():
        found = psutil.process_iter(["cmdline", "environ"])
        own = [p.info["cmdline"] for p in found if (p.info["environ"] or {}).get("CC_HOME") == str(store)]
        return sum("cc_notebook.engine" in words for words in own)

    write(folder, "w.yaml", "workflow: {nodes: {a: {exec: 'until [ -e go ]; do sleep 0.1; done'}}}")
    assert cc("run", "gone.yaml").returncode == 2
    until(lambda: engines() == 0)
    first, second = (json.loads(cc("run", "w.yaml", "--detach", "--json").stdout)["run"] for _ in range(2))
    assert first == second
    until(lambda: engines() == 1)
    (folder / "go").touch()
    until(lambda: engines() == 0)


def test_doctor_tells_what_does_not_work(cc, folder, monkeypatch):
    """What is broken ends with 1 and the one command that mends it; a program that not all need is no failure."""
    file = write(folder, "file", "")
    monkeypatch.setenv("CC_HOME", str(file))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    done = cc("doctor")
    assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
    lines = done.stdout.splitlines()
    broken = lines.index(next(line for line in lines if line.startswith("✗ store")))
    assert str(file) in lines[broken] and "export CC_HOME=" in lines[broken + 1]
    assert any(line.startswith("✗ sh") for line in lines) and any(line.startswith("– Slurm") for line in lines)


def test_every_row_has_the_same_columns():
    """The csv's head is the table's row."""
    row = table.Row(0, "a", "ready", "local", 0, "", "a.sh", "")
    assert table.data([row], "csv").splitlines()[0].split(",") == list(vars(row))
