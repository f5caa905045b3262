"""Loops, conditions and sub-workflows, run for real: what is decided, once, and what is said about it."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import until, write

from cc_notebook import Workflow, runs
from cc_notebook.errors import InputError

SAY = 'echo "# cloudmesh progress=50 {}"'


def flow_of(folder, nodes, dependencies="", params="", name="w"):
    """A workflow file with these nodes, one a line."""
    text = f"workflow:\n  params: {{{params}}}\n  nodes:\n"
    text += "".join(f"    {line.strip()}\n" for line in nodes.strip().splitlines())
    text += (
        "  dependencies:\n" + "".join(f"    - {line}\n" for line in dependencies.split("; ")) if dependencies else ""
    )
    write(folder, f"{name}.yaml", text)
    return Workflow(f"{name}.yaml")


def states(run):
    """The state of each job by name."""
    return {name: status.state for name, status in run.refresh().jobs.items()}


def test_foreach_over_params_outputs_and_files(folder):
    """A list is written, a param, an output of a parent, or the files of a pattern; several keys are a product."""
    for name in ("b", "a"):
        write(folder, f"{name}.txt", name)
    flow = flow_of(
        folder,
        f"""
        fetch: {{exec: '{SAY.format("rows=[3,4]")}'}}
        grid: {{exec: 'echo $S $R >> grid', env: {{S: "{{size}}", R: "{{rate}}"}}, foreach: {{size: "{{params.sizes}}",\
          rate: [0.1, two words]}}, exclude: [{{size: 1, rate: 0.1}}], include: [{{size: 9, rate: x}}]}}
        each: {{exec: 'echo $ROW >> each', env: {{ROW: "{{row}}"}}, foreach: {{row: "{{fetch.rows}}"}}}}
        files: {{exec: 'cat "$F" >> files', env: {{F: "{{f}}"}}, foreach: {{f: "*.txt"}}}}
        """,
        "fetch, each",
        "sizes: [1, 2]",
    )
    run = flow.run(max_parallel=1).wait()
    assert run.state == "done"
    assert (folder / "grid").read_text() == "1 two words\n2 0.1\n2 two words\n9 x\n"
    assert (folder / "each").read_text() == "3\n4\n" and (folder / "files").read_text() == "ab"
    names = list(run.refresh().flow.members["grid"])
    assert names == [f"grid[size={s},rate={r}]" for s, r in ((1, "two words"), (2, 0.1), (2, "two words"), (9, "x"))]


def test_an_empty_list_is_done(folder):
    """A group without members is done, and what comes after it runs."""
    flow = flow_of(folder, "none: {exec: 'false', foreach: {x: 'nothing/*'}}\nafter: {exec: 'true', after: none}")
    assert states(flow.run().wait()) == {"none": "done", "after": "done"}


def test_a_condition_is_decided_for_each_member(folder):
    """`when` sees the loop's values, outputs and params; a skipped member says why, and the group is done."""
    gpus = 'gpus=[\\"a100\\"]'
    flow = flow_of(
        folder,
        f"""
        probe: {{exec: '{SAY.format(gpus)}'}}
        train: {{exec: '{SAY.format("time=1")}', foreach: {{gpu: [v100, a100]}}, when: "gpu in probe.gpus"}}
        report: {{exec: 'echo "$T" > told', env: {{T: "{{train.time}}"}}}}
        none: {{exec: 'true', foreach: {{x: [1, 2]}}, when: "x > params.limit"}}
        last: {{exec: 'true', after: none}}
        """,
        "probe, train, report",
        "limit: 5",
    )
    run = flow.run().wait()
    found = states(run)
    assert run.state == "done" and found["train[gpu=v100]"] == "skipped" and found["train"] == "done"
    assert (folder / "told").read_text() == "[null, 1]\n"
    why = run.status("train[gpu=v100]")["reason"]
    assert why == 'when \'gpu in probe.gpus\' is not true (gpu = "v100", probe.gpus = ["a100"])'
    assert (found["none"], found["last"]) == ("skipped", "skipped")


def test_a_matrix_leaves_out_and_takes_in(folder, cc):
    """`matrix` is `foreach`: what `exclude` names in part is left out, what `include` names is one more member."""
    write(
        folder,
        "sub.yaml",
        "workflow: {params: {g: 0}, nodes: {t: {exec: 'echo $G >> ledger', env: {G: '{g}'}, repeat: 2}}}\n",
    )
    flow = flow_of(
        folder,
        """
        m: {exec: 'true', matrix: {a: [1, 2], b: [x, y]}, exclude: [{a: 2, b: x}, {b: y}], include: [{a: 9, b: z}]}
        s: {workflow: sub.yaml, foreach: {g: [4, 5]}}
        """,
    )
    run = flow.run(max_parallel=1).wait()
    members = [name for name in states(run) if name.startswith("m[")]
    assert run.state == "done" and members == ["m[a=1,b=x]", "m[a=9,b=z]"]
    assert (folder / "ledger").read_text() == "4\n4\n5\n5\n"
    assert states(run)["s[g=5]/t#2"] == "done"
    assert ["jupyter cc logs" in cc("results", "last", group).stdout for group in "ms"] == [True, False]


def test_repeat_until(folder):
    """Iterations run one after the other until the expression is true; each sees the outputs of the one before."""
    write(
        folder,
        "refine.sh",
        'v=$(($(cat value) - 1)); echo $v > value; echo "$N $v" >> ledger\n' + SAY.format("error=$v"),
    )
    flow = flow_of(
        folder,
        """
        start: {exec: 'echo 5 > value'}
        refine: {script: refine.sh, env: {N: "{iteration}"}, repeat: {until: "refine.error < params.tol", max: 10}}
        report: {exec: 'echo $E > told', env: {E: "{refine.error}"}}
        """,
        "start, refine, report",
        "tol: 3",
    )
    run = flow.run().wait()
    assert run.state == "done", run.explain("refine")
    assert (folder / "ledger").read_text() == "1 4\n2 3\n3 2\n" and (folder / "told").read_text() == "2\n"
    assert run.status("refine")["reason"] == "after 3 iterations: refine.error = 2, params.tol = 3"


def test_repeat_stops_at_max_and_says_so(folder):
    """`until` that is never true ends at `max`; a plain number repeats that often; a failed iteration ends the loop."""
    flow = flow_of(
        folder,
        f"""
        never: {{exec: '{SAY.format("x=1")}', repeat: {{until: "never.x > 1", max: 3}}}}
        thrice: {{exec: 'echo x >> thrice', repeat: 3}}
        bad: {{exec: 'test $N -lt 2', env: {{N: "{{iteration}}"}}, repeat: {{max: 5}}}}
        odd: {{exec: 'true', repeat: {{until: "odd.y > 1", max: 3}}}}
        """,
    )
    run = flow.run().wait()
    assert run.status("never")["reason"] == "until was not met in 3 iterations (never.x = 1)"
    assert (folder / "thrice").read_text() == "x\nx\nx\n"
    assert run.status("bad")["reason"] == "1 of 2 failed: bad#2" and "bad#3" not in states(run)
    assert states(run)["odd"] == "failed"
    assert run.status("odd")["reason"] == "job 'odd': until 'odd.y > 1': 'odd' has no 'y' (it has none) (column 1)"


SUB = f"""\
workflow:
  params: {{gpu: none, n: 1}}
  nodes:
    a: {{exec: '{SAY.format("x=$N")}', env: {{N: "{{params.n}}"}}}}
    b: {{script: b.sh, env: {{G: "{{params.gpu}}", X: "{{a.x}}"}}, repeat: 2}}
  dependencies: ["start, a, b, end"]
"""


def test_iterations_are_drawn_one_after_the_other(folder):
    """In the picture with members the first iteration comes after what is before the group, and the group last."""
    nodes = "a: {exec: 'true'}\nr: {exec: 'true', repeat: 3, after: a}"
    drawn = flow_of(folder, nodes).run().wait().refresh().flow.drawn(members=True)
    assert set(drawn.edges) == {("a", "r#1"), ("r#1", "r#2"), ("r#2", "r#3"), ("r#3", "r")}


def test_a_workflow_as_one_node(folder):
    """Another file is put in place, with its params from the node and from the loop, its scripts from its folder."""
    (folder / "sub").mkdir()
    write(folder / "sub", "pipeline.yaml", SUB)
    write(folder / "sub", "b.sh", 'echo "$G $X" >> ledger\n' + SAY.format("score=$G$X"))
    flow = flow_of(
        folder,
        """
        per-gpu: {workflow: sub/pipeline.yaml, foreach: {gpu: [v, a]}, params: {n: "{params.n}"}}
        report: {exec: 'echo "$S" > told', env: {S: "{per-gpu.score}"}}
        """,
        "per-gpu, report",
        "n: 7",
    )
    run = flow.run().wait()
    assert run.state == "done", run.status()
    assert Counter((folder / "ledger").read_text().split("\n")) == {"v 7": 2, "a 7": 2, "": 1}
    assert (folder / "told").read_text() == '["v7", "a7"]\n'
    assert "per-gpu[gpu=a]/b#2" in states(run) and run.outputs("per-gpu[gpu=v]") == {"score": "v7"}


def test_an_attempt_carries_only_the_outputs_that_it_names(folder):
    """Of two sweeps, one after the other, no member of the second carries the outputs of all members of the first."""
    flow = flow_of(
        folder,
        f"""
        first: {{exec: '{SAY.format("loss=1")}', foreach: {{x: [1, 2]}}}}
        second: {{exec: 'true', foreach: {{x: [1, 2]}}}}
        third: {{exec: 'echo $LOSS', env: {{LOSS: "{{first.loss}}"}}}}
        """,
        "first, second, third",
    )
    run = flow.run().wait()
    specs = {name: run.log_path(name).with_name("spec.json").read_text() for name in ("second[x=1]", "third")}
    used = {name: json.loads(text)["outputs"] for name, text in specs.items()}
    assert used == {"second[x=1]": {}, "third": {"first": {"loss": [1, 1]}}}


def test_a_failed_member_does_not_disturb_the_rest(folder):
    """Of 30 members one dies and one never ends: the others are done, the group says which failed, and why."""
    write(folder, "job.sh", "case $N in 7) kill -9 $$;; 9) sleep 1000;; esac\n" + SAY.format("n=$N"))
    numbers = ", ".join(map(str, range(30)))
    flow = flow_of(
        folder,
        f"""
        grade: {{script: job.sh, env: {{N: "{{n}}"}}, foreach: {{n: [{numbers}]}}, isolated: true, timeout: 2}}
        table: {{exec: 'true', after: grade, trigger: all_done}}
        strict: {{exec: 'true', after: grade}}
        """,
    )
    run = flow.run().wait()
    assert Counter(states(run).values()) == {"done": 29, "failed": 3, "ready": 1} and states(run)["table"] == "done"
    assert run.status("grade")["reason"] == "2 of 30 failed: grade[n=7], grade[n=9]"
    assert run.refresh().reason.startswith(f"grade[n=7] ({run.status('grade[n=7]')['reason']}), grade[n=9], grade")
    assert run.status("grade")["counts"] == {"done": 28, "failed": 2}
    assert run.status("strict")["waiting"] == "blocked"
    assert run.status("grade[n=9]")["ending"] == "timeout" and run.status("grade[n=7]")["code"] == 9


def test_retry_of_members_and_groups(folder):
    """Retry runs what failed and closes the group anew; a group named, or after a parent's retry, is decided anew."""
    flow = flow_of(
        folder,
        """
        list: {exec: 'echo "# cloudmesh progress=50 names=$(cat names)"'}
        each: {exec: 'echo $N >> ledger; test -e $N', env: {N: "{n}"}, foreach: {n: "{list.names}"}}
        after: {exec: 'echo after >> ledger'}
        """,
        "list, each, after",
    )
    write(folder, "names", '["x","y"]')
    write(folder, "x", "")
    run = flow.run(max_parallel=1).wait()
    assert run.state == "failed" and states(run)["each"] == "failed"
    write(folder, "y", "")
    assert run.retry().wait().state == "done"
    assert (folder / "ledger").read_text().split() == ["x", "y", "y", "after"]
    write(folder, "names", '["y","z"]')
    write(folder, "z", "")
    assert run.retry("list").wait().state == "done"
    assert (folder / "ledger").read_text().split()[4:] == ["y", "z", "after"]
    assert list(run.refresh().flow.members["each"]) == ["each[n=y]", "each[n=z]"]
    assert run.status("each[n=y]")["attempt"] == 3 and "each[n=x]" not in states(run)
    assert run.retry("each[n=z]").wait().state == "done" and run.retry("each").wait().state == "done"


def test_cancel_of_a_group(folder):
    """Cancelling a group ends its members; what comes after it is blocked."""
    flow = flow_of(folder, "each: {exec: 'sleep 1000', foreach: {n: [1, 2, 3]}}\nafter: {exec: 'true', after: each}")
    run = flow.run(max_parallel=2)
    until(lambda: states(run).get("each[n=2]") == "running")
    assert run.cancel("each").wait().state == "cancelled"
    assert states(run) == {"each": "cancelled", "after": "ready"} | {f"each[n={n}]": "cancelled" for n in (1, 2, 3)}


@pytest.mark.parametrize(
    ("node", "told"),
    [
        ("{exec: x, foreach: {n: '{params.one}'}}", "foreach n needs a list, not 1"),
        ("{exec: x, foreach: {n: ['{p.none}']}, after: p}", "{p.none} has no value"),
        ("{exec: x, foreach: {n: [1, 1]}}", "foreach gives 'a[n=1]' twice"),
        ("{exec: x, foreach: {n: '/etc/*'}}", "leaves the workflow's folder"),
        ("{exec: x, foreach: {n: '../*'}}", "leaves the workflow's folder"),
        ("{script: '{s}', foreach: {s: [missing.sh]}}", "the script 'missing.sh' cannot be read"),
        ("{exec: x, when: 'p.x > 1', after: p}", "when 'p.x > 1': 'p' has no 'x'"),
        ("{exec: x, when: 'params.one > \"a\"'}", "not supported between"),
        ("{exec: x, kind: ssh, host: '{h}', foreach: {h: [-oProxyCommand=touch]}}", "begins with '-'"),
    ],
)
def test_what_cannot_be_decided_fails_with_its_reason(folder, node, told):
    """A list or condition without a value fails the job with the name, the expression and the reason."""
    flow = flow_of(folder, f"p: {{exec: 'true'}}\na: {node}", params="one: 1")
    run = flow.run().wait()
    reasons = [status.reason for status in run.refresh().jobs.values() if status.state == "failed"]
    assert run.state == "failed" and any(told in reason for reason in reasons), reasons


def test_what_is_shown(folder, cc):
    """The table has a row for a group, with its members on demand; the picture one node; --json everything."""
    flow_of(folder, "each: {exec: 'true', foreach: {n: [1, 2]}}\nlast: {exec: 'true', after: each}")
    assert cc("run", "w.yaml", "--picture", "w.dot").returncode == 0
    told = json.loads(cc("show", "last", "--json").stdout)
    assert told["jobs"]["each"]["counts"] == {"done": 2} and told["counts"] == {"done": 3}
    shown = cc("show", "last").stdout
    assert "each[n=1]" not in shown and "2 ✓" in shown and "each[n=1]" in cc("show", "last", "--members").stdout
    assert runs.find("last").explain("each[n=2]").startswith("each[n=2] is done")


# ---- growing -------------------------------------------------------------------------------------------------------


def test_jobs_join_a_run(folder, cc):
    """A job is added while the run goes on, before and after others; another process sees it, a resume has it."""
    flow = flow_of(
        folder,
        "a: {exec: 'until test -e go; do sleep 0.02; done; echo a >> ledger'}\nb: {exec: 'echo b >> ledger', after: a}",
    )
    run = flow.run()
    until(lambda: states(run)["a"] == "running")
    run.add_job(
        "between", after="a", before="b", exec="echo between $X >> ledger", env={"X": "{params.x}"}, foreach={"x": [1]}
    )
    (folder / "go").touch()
    assert run.wait().state == "done" and (folder / "ledger").read_text() == "a\nbetween 1\nb\n"
    again = runs.find(run.id)
    assert "jobs that join: between" in cc("events", "last").stdout
    group = cc("logs", "last", "between")
    assert group.returncode == 2 and "is a group" in group.stderr and "'between[x=1]'" in group.stderr
    assert "between[x=1]" in states(again) and again.status("between")["counts"] == {"done": 1}
    assert run.add_job("late", after="b", exec="echo late >> ledger").wait().state == "done"
    assert (folder / "ledger").read_text().endswith("b\nlate\n")


@pytest.mark.parametrize(
    ("name", "ends", "told"),
    [
        ("a", {}, "has a job 'a' already"),
        ("c", {"before": "a"}, "'a' is done: nothing new can come before it"),
        ("c", {"after": "b", "before": "b"}, "the dependencies form a cycle"),
        ("c", {"after": "nowhere"}, "unknown job 'nowhere'"),
        ("c", {"exec": None}, "nothing to run"),
        ("c", {"kind": "slurm", "host": "hpc"}, "kind slurm is not part"),
        ("c", {"args": ["{b.x}"]}, "is an output of 'b', which may end later"),
    ],
)
def test_what_cannot_join_is_refused(folder, name, ends, told):
    """A name that is taken, a job before one that has ended, a cycle, a mistake: refused, and nothing has changed."""
    flow = flow_of(folder, "a: {exec: 'true'}\nb: {exec: 'sleep 1000', after: a}")
    run = flow.run()
    until(lambda: states(run)["b"] == "running")
    with pytest.raises(InputError, match=told):
        run.add_job(name, **{"exec": "true", **ends})
    assert list(states(run)) == ["a", "b"] and run.cancel().wait().state == "cancelled"


def test_a_job_leaves_add_yaml(folder):
    """What a job writes into `add.yaml` in its folder joins the run with the job's own end; a mistake fails the job."""
    good = "nodes: {new: {exec: 'echo new >> ledger'}}\\ndependencies: ['a, new, b']"
    write(folder, "a.sh", f'printf "{good}" > "$CC_JOB_DIR/add.yaml"\n')
    write(folder, "bad.sh", 'echo "nodes: {a: {exec: x}}" > "$CC_JOB_DIR/add.yaml"\n')
    flow = flow_of(folder, "a: {script: a.sh}\nb: {exec: 'echo b >> ledger', after: a}\nbad: {script: bad.sh}")
    run = flow.run().wait()
    assert (folder / "ledger").read_text() == "new\nb\n"
    assert states(run)["bad"] == "failed" and "has a job 'a' already" in run.status("bad")["reason"]
    assert run.retry("a").wait() and states(run)["a"] == "done" and (folder / "ledger").read_text() == "new\nb\n" * 2


# ---- what is unchanged, and results --------------------------------------------------------------------------------


def test_reuse_of_what_is_unchanged(folder, cc):
    """Only what changed and what comes after it runs again, and each says why; the outputs are there."""
    write(folder, "data.csv", "1\n")
    flow_of(
        folder,
        f"""
        fetch: {{exec: 'echo fetch >> ledger; {SAY.format("rows=7")}', files: {{in: [data.csv]}}}}
        train: {{exec: 'echo train $S >> ledger', env: {{S: "{{s}}", R: "{{fetch.rows}}"}}, matrix: {{s: "{{sizes}}"}}}}
        other: {{exec: 'echo other >> ledger'}}
        report: {{exec: 'echo report >> ledger', after: other}}
        """,
        "fetch, train, report",
        "sizes: [1, 2]",
    )

    def run(*words):
        (folder / "ledger").write_text("")
        done = cc("run", "w.yaml", "--max-parallel", 1, "--reuse", "--json", *words)
        return json.loads(done.stdout)["jobs"], (folder / "ledger").read_text().split("\n")[:-1]

    assert run()[1] == ["fetch", "train 1", "train 2", "other", "report"]
    jobs, ledger = run()
    assert (
        ledger == [] and jobs["fetch"]["outputs"] == {"rows": 7} and "unchanged since run w-" in jobs["fetch"]["reason"]
    )
    jobs, ledger = run("--param", "sizes=[1, 3]")
    assert ledger == ["train 3", "report"] and jobs["report"]["reason"] == "'train[s=3]' ran again"
    write(folder, "data.csv", "2\n")
    jobs, ledger = run()
    assert ledger == ["fetch", "train 1", "train 2", "report"] and jobs["fetch"]["reason"] == "file data.csv changed"
    write(folder, "w.yaml", (folder / "w.yaml").read_text().replace('S: "{s}"', 'S: "{s}0"'))
    jobs, ledger = run()
    assert ledger == ["train 10", "train 20", "report"]
    assert jobs["train[s=1]"]["reason"] == 'variable S changed 1 → "10"'


def test_reuse_says_in_lines_why_a_job_runs_again(folder, cc):
    """Without a terminal too; a param is named that a variable hands on. Without --reuse nothing needs to be said."""
    flow_of(
        folder,
        """
        train: {exec: 'true', env: {SIZE: "{params.size}"}}
        other: {exec: 'true'}
        """,
        params="size: 10",
    )
    assert "submitted" not in cc("run", "w.yaml").stdout
    words = ["run", "w.yaml", "--reuse", "--param", "size=100"]
    again = cc(*words).stdout
    assert "○ train submitted: param size changed 10 → 100\n" in again, again
    assert "other submitted" not in again and "✓ other done: unchanged since" in again
    for name in ("python", "python3"):  # one interpreter, as a kernel and as the command line call it
        command = [Path(sys.executable).with_name(name), "-m", "cc_notebook.cli", *words]
        told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        assert "submitted" not in told and "✓ train done: unchanged since" in told


def test_results_of_a_sweep(folder, cc):
    """A row for each member, with its values, outputs, state, time and file; as rows, data frame, CSV; run again."""
    flow_of(
        folder,
        f"""
        grid: {{exec: 'test $LR != 0.2 || test -e go || exit 3; {SAY.format("loss=$LR")}', env: {{LR: "{{lr}}"}},
          foreach: {{lr: [0.1, 0.2], name: ["=1+1", "a,b"]}}, exclude: [{{lr: 0.1, name: "a,b"}}]}}
        """.replace("\n          ", " "),
    )
    run = Workflow("w.yaml").run().wait()
    found = run.results()
    assert [(row["lr"], row["name"], row["state"]) for row in found] == [
        (0.1, "=1+1", "done"),
        (0.2, "=1+1", "failed"),
        (0.2, "a,b", "failed"),
    ]
    assert found[0]["loss"] == 0.1 and found[1]["error"] == "exit code 3" and found[0]["time"] >= 0
    assert (folder / found[0]["file"]).is_file()
    table = cc("results", "last", "--csv").stdout.splitlines()
    assert table[0] == "job,lr,name,state,loss,time,cell,error,file" and ",'=1+1,done,0.1," in table[1]
    frame = run.results("grid", frame=True)
    assert list(frame["lr"]) == [0.1, 0.2, 0.2] and frame["loss"][0] == 0.1
    (folder / "go").touch()
    assert run.retry(found[1]["job"]).wait() and run.results()[1]["state"] == "done"
    assert json.loads(cc("results", "last", "grid", "--json").stdout)[2]["state"] == "failed"
    shown = cc("results", "last", "--sort", "loss").stdout
    assert "0.2" in shown and "exit code 3" in shown
    assert (
        "the run has no loop" in cc("results", "nothing").stderr or "there is no run" in cc("results", "nothing").stderr
    )


ROOT = Path(__file__).parent.parent


def test_the_cloudmask_loop(folder, cc):
    """The article's benchmark runs as its 25 lines say, and gives the rows that the README shows."""
    example = ROOT / "notebooks" / "examples" / "cloudmask"
    assert len((example / "cloudmask.yaml").read_text().splitlines()) <= 25
    for path in (*example.glob("*.py"), *example.glob("*.sh"), *example.glob("*.yaml")):
        shutil.copy(path, folder)
    done = cc("run", "cloudmask.yaml", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["jobs"]["train"]["counts"] == {"done": 18, "skipped": 27}
    rows = json.loads(cc("results", "last", "train", "--sort=-accuracy", "--json").stdout)
    told = {(str(r["gpu"]), str(r["run"]), str(r["epochs"]), r["state"], str(r.get("accuracy", ""))) for r in rows}
    readme = (ROOT / "README.md").read_text().split("| gpu | run | epochs | state | accuracy |")[1].split("\n\n")[0]
    shown = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in readme.strip().splitlines()[1:]]
    assert len(shown) == 4 and set(shown) <= told
    assert cc("logs", "last", "report").stdout.startswith("18 runs, mean accuracy 0.914")


def test_dry_run_shows_what_is_known(folder, cc):
    """`--dry-run` has the members that params and files tell, and says what is decided later."""
    flow_of(
        folder,
        """
        fetch: {exec: 'true'}
        known: {exec: 'true', foreach: {n: "{params.n}", f: "*.yaml"}}
        later: {exec: 'true', foreach: {r: "{fetch.rows}"}, when: "r > 1"}
        loop: {exec: 'true', repeat: {until: "loop.x > 1", max: 5}}
        """,
        "fetch, later",
        "n: [1, 2]",
    )
    done = cc("run", "w.yaml", "--dry-run")
    assert "known[n=2,f=w.yaml]" in done.stdout and "later: after fetch; its members are decided" in done.stdout
    assert "when its turn comes: {fetch.rows} has no value\n" in done.stdout
    assert "loop: until loop.x > 1, at most 5 times" in done.stdout
    assert json.loads(cc("runs", "--json").stdout) == []


# ---- what an attack found ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more", ["foreach: {x: [1, 2]}", "repeat: 2", "workflow: sub.yaml"], ids=["foreach", "repeat", "workflow"]
)
def test_a_cancelled_run_with_a_group_ends(folder, more):
    """Cancel of a whole run ends it, whatever kind of group is in the middle of its members."""
    write(folder, "sub.yaml", "workflow:\n  nodes: {a: {exec: 'sleep 1000'}}\n")
    flow = flow_of(folder, f"g: {{{'' if 'sub' in more else 'exec: sleep 1000, '}{more}}}")
    run = flow.run()
    until(lambda: "running" in [s for name, s in states(run).items() if name != "g"])
    assert run.cancel().wait(30).state == "cancelled"
    run.add_job("late", exec="echo late > late")
    assert run.wait(30).state == "cancelled" and (folder / "late").exists()


def test_members_have_no_trigger_of_their_own(folder):
    """A group's trigger is decided once, by the group: its members then run."""
    flow = flow_of(
        folder,
        """
        bad: {exec: 'false'}
        alarm: {exec: 'echo $X >> told', env: {X: "{x}"}, foreach: {x: [1, 2]}, trigger: one_failed, after: bad}
        again: {exec: 'echo again >> told', repeat: 1, trigger: all_done, after: bad}
        """,
    )
    assert flow.run().wait().state == "failed"
    assert sorted((folder / "told").read_text().split()) == ["1", "2", "again"]


def test_retry_of_an_iteration_goes_on_from_there(folder):
    """The iterations after it are forgotten: `until` decides anew, and none runs beside another."""
    write(
        folder, "r.sh", 'echo "$N" >> ledger; echo "# cloudmesh progress=50 v=$N"; test ! -e busy; : > busy; rm busy\n'
    )
    write(folder, "limit", "3")
    flow = flow_of(folder, 'r: {script: r.sh, env: {N: "{iteration}"}, repeat: {until: "r.v >= 3 and iteration > 1"}}')
    run = flow.run().wait()
    assert run.state == "done" and (folder / "ledger").read_text().split() == ["1", "2", "3"]
    assert run.retry("r#2").wait().state == "done"
    assert (folder / "ledger").read_text().split() == ["1", "2", "3", "2", "3"]
    assert run.status("r#3")["attempt"] == 2 and runs.find(run.id).refresh().jobs == run.refresh().jobs


def test_an_output_is_no_file_pattern(folder):
    """Only a pattern that is written as one looks for files; a text where a list should be is an error."""
    write(folder, "secret.txt", "")
    flow = flow_of(
        folder,
        f"p: {{exec: '{SAY.format('l=*.txt')}'}}\ng: {{exec: 'true', foreach: {{x: \"{{p.l}}\"}}, after: p}}",
    )
    run = flow.run().wait()
    assert states(run)["g"] == "failed" and "foreach x needs a list, not '*.txt'" in run.status("g")["reason"]


@pytest.mark.parametrize(
    "attributes",
    [
        {"exec": "true", "when": "a" + "[0]" * 600 + " > 1"},
        {"exec": "true", "when": "f(" + "-" * 1900 + "1)"},
        {"exec": "true", "foreach": {"f": "a/" * 1500 + "*"}},
        {"exec": "true", "foreach": {"iteration": [1]}},
        {"exec": "true", "when": "9**300*9**300*9**300 > 1"},
        {"exec": "true", "when": "'%2000000000d' % 3 == 1"},
    ],
)
def test_odd_jobs_do_not_take_the_run_with_them(folder, attributes):
    """A job on which the program itself could fail is refused or fails alone; the run goes on to its end."""
    flow = flow_of(folder, "a: {exec: 'until test -e go; do sleep 0.02; done'}\nb: {exec: 'true', after: a}")
    run = flow.run(order=["a", "b"])
    with suppress(InputError):
        run.add_job("odd", **attributes)
    run.add_job("fine", exec="true")
    (folder / "go").touch()
    run.wait(60)
    assert run.refresh().ended and states(run)["b"] == states(run)["fine"] == "done"


def test_a_file_name_that_is_no_text(folder):
    """A file whose name is not UTF-8 fails the loop that finds it, with its name."""
    (folder / os.fsdecode(b"\xff.txt")).touch()
    run = flow_of(folder, "g: {exec: 'true', foreach: {f: '*.txt'}}").run().wait()
    assert run.state == "failed" and "a name that no job can have" in run.status("g")["reason"]


def test_a_state_with_loops_is_saved_and_taken_over(folder):
    """Members and jobs that joined are not written into the file; a group that was done is not run again."""
    flow = flow_of(folder, "g: {exec: 'echo $X >> ledger', env: {X: '{x}'}, foreach: {x: [1, 2]}}")
    run = flow.run(max_parallel=1).wait()
    run.add_job("more", exec="true").wait()
    flow.save_with_state("saved.yaml")
    again = Workflow(name="again").load_with_state("saved.yaml").run().wait()
    assert states(again) == {"g": "done"} and (folder / "ledger").read_text() == "1\n2\n"


def test_reuse_is_not_fooled(folder, cc):
    """A smaller loop, a file that a loop names, a parent of the outer workflow, a failure in between: all run again."""
    write(folder, "sub.yaml", "workflow:\n  nodes: {use: {exec: 'cat data >> ledger'}}\n")
    write(folder, "x.txt", "x\n")
    flow_of(
        folder,
        """
        fetch: {exec: 'echo $V > data', env: {V: "{params.v}"}}
        s: {workflow: sub.yaml, after: fetch}
        g: {exec: 'test -e broken && exit 1; echo "g $N" >> ledger', env: {N: "{n}"}, foreach: {n: "{params.n}"}}
        all: {exec: 'echo all >> ledger', after: g}
        files: {exec: 'cat "$F" >> ledger', env: {F: "{f}"}, foreach: {f: "*.txt"}}
        """,
        params="v: 1, n: [1, 2]",
    )

    def run(*params):
        (folder / "ledger").write_text("")
        cc("run", "w.yaml", "--max-parallel", 1, "--reuse", *(word for param in params for word in ("--param", param)))
        return sorted((folder / "ledger").read_text().splitlines())

    assert run() == ["1", "all", "g 1", "g 2", "x"]
    assert run() == []
    assert run("v=2") == ["2"]
    assert run("v=2", "n=[1]") == ["all"]
    write(folder, "x.txt", "7\n")
    assert run("v=2", "n=[1]") == ["7"]
    write(folder, "broken", "")
    assert run("v=2", "n=[1, 5]") == []
    (folder / "broken").unlink()
    assert run("v=2", "n=[1, 5]") == ["all", "g 5"]
    assert run("v=1", "n=[1, 5]") == ["1"]  # as in the first run, but the file is of the second


@pytest.mark.parametrize(
    ("node", "told"),
    [
        ("{exec: x, foreach: {n: [1]}, exclude: [{m: 1}]}", "exclude names no loop value"),
        ("{exec: x, foreach: {n: [1]}, exclude: [{}]}", "exclude names no loop value"),
        ("{exec: x, include: [{n: 1}]}", "include without foreach"),
        ("{exec: x, args: ['{params.nope}']}", "the workflow has no such param"),
        ("{exec: x, args: ['{iteration}']}", "{iteration} is not known"),
        ("{workflow: sub.yaml, timeout: 1}", "'timeout' has no effect"),
        ("{workflow: sub.yaml, params: {siez: 1}}", "its workflow has no param 'siez'"),
        ("{workflow: missing.yaml}", "the workflow 'missing.yaml' does not exist"),
        ("{workflow: w.yaml}", "workflows contain each other"),
        ("{exec: x, foreach: {i: params.size}}", "foreach i: 'params.size' is no list; write '{params.size}'"),
        ("{exec: x, foreach: {i: b.rows}, after: b}", "foreach i: 'b.rows' is no list; write '{b.rows}'"),
        ("{exec: x, foreach: {i: data}}", "foreach i: 'data' is no list; write '{data}', or a pattern"),
        ("{exec: x, when: 'nowhere > 1'}", "'nowhere' is not known"),
        ("{exec: x, when: '__import__(1)'}", "is not possible here"),
        ("{exec: x, repeat: {until: 'b.x > 1'}}", "is an output of 'b', which may end later"),
    ],
)
def test_mistakes_are_found_when_the_file_is_read(folder, cc, node, told):
    """What can be seen to be wrong in loops and conditions is an error with its line before anything runs."""
    write(folder, "sub.yaml", "workflow:\n  params: {size: 1}\n  nodes: {a: {exec: 'true'}}\n")
    write(folder, "w.yaml", f"workflow:\n  nodes:\n    a: {node}\n    b: {{exec: 'true'}}\n")
    done = cc("validate", "w.yaml")
    assert done.returncode == 2 and told in done.stderr and "w.yaml:3:" in done.stderr, done.stderr


def test_results_are_rounded_for_people_alone(folder, cc):
    """Four digits of a fraction in the terminal; whole and large numbers, CSV and JSON have all."""
    say = SAY.format("loss=$X size=1234567 sum=123456.789")
    flow_of(folder, f"grid: {{exec: '{say}', env: {{X: '{{x}}'}}, foreach: {{x: [0.078341]}}}}")
    assert cc("run", "w.yaml").returncode == 0
    shown = cc("results", "last").stdout.split()
    assert shown.count("0.07834") == 2 and {"1234567", "123456.789"} <= {*shown} and "0.078341" not in shown
    assert all("0.078341" in cc("results", "last", form).stdout for form in ("--csv", "--json"))


def test_results_keep_every_column(folder, cc):
    """Values and outputs that are called like our own columns stand beside them; long names have files too."""
    long = "語" * 59
    nodes = f"g: {{exec: '{SAY.format('state=7 job=8')}', foreach: {{file: ['{long}', a/b, a_b], time: ['{long}']}}}}"
    flow_of(folder, nodes)
    assert cc("run", "w.yaml").returncode == 0
    rows = json.loads(cc("results", "last", "--json").stdout)
    assert [(row["state"], row["output state"], row["output job"], row["value time"]) for row in rows] == [
        ("done", 7, 8, long)
    ] * 3
    files = [row["file"] for row in rows]
    assert len(set(files)) == 3 and all((folder / file).is_file() for file in files)


@pytest.mark.parametrize(
    ("node", "told"),
    [
        ("{exec: x, params: {n: '{p.rows}'}, after: p}", "{p.rows} has no value"),
        ("{exec: x, when: '[10**90 * 10**90][0] > 1'}", ""),
        ("{script: odd.sh}", ""),
        ("{exec: 'true', foreach: {n: [\"a\\0b\"]}}", ""),
    ],
)
def test_a_job_fails_alone(folder, node, told):
    """Whatever is wrong with one job, its run goes on to its end and the others are done."""
    write(folder, "odd.sh", "#!/bin/sh 'x\ntrue\n")
    run = flow_of(folder, f"p: {{exec: 'true'}}\na: {node}\nb: {{exec: 'true', after: p}}").run().wait()
    assert run.refresh().ended and states(run)["b"] == "done" and told in run.status("a")["reason"]


def test_a_long_add_yaml_is_refused(folder):
    """A file that may have been cut on its way is not taken for a whole one."""
    write(folder, "a.sh", 'head -c 300000 /dev/zero | tr "\\0" "#" > "$CC_JOB_DIR/add.yaml"\n')
    run = flow_of(folder, "a: {script: a.sh}").run().wait()
    assert run.state == "failed" and "262,144 bytes or more" in run.status("a")["reason"]
