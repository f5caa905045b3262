"""What the article prints runs: Figures 2, 3, 5, 6 and 10, and its attributes over a real ssh connection."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import write
from sshd import sshd

from cc_notebook import Workflow

DATA = Path(__file__).parent / "data"
SCRIPT = 'echo "# cloudmesh status=running progress=1 pid=$$"\necho "# cloudmesh status=done progress=100 pid=$$"\n'


def test_figure_2(folder, cc):
    """As printed, `end` has slipped out of `nodes`: a clear error at its line; corrected, it runs in order."""
    for name in ("fetch-data", "compute", "analyze"):
        write(folder, f"test-{name}.sh", SCRIPT + f"echo {name} >> order\n")
    shutil.copy(DATA / "figure2-printed.yaml", folder)
    shutil.copy(DATA / "figure2.yaml", folder)
    slip = cc("run", "figure2-printed.yaml")
    line = 1 + (folder / "figure2-printed.yaml").read_text().splitlines().index("  end:")
    assert slip.returncode == 2 and f"figure2-printed.yaml:{line}:3: 'end' stands beside 'nodes:'" in slip.stderr
    assert cc("run", "figure2.yaml").returncode == 0
    assert (folder / "order").read_text().split() == ["fetch-data", "compute", "analyze"]


@pytest.mark.parametrize("figure", ["figure3", "figure5"])
def test_figures_3_and_5(figure, folder, cc):
    """The label and style examples are whole workflows and run."""
    shutil.copy(DATA / f"{figure}.yaml", folder)
    write(folder, "start.sh", "echo hello\n")
    done = cc("run", f"{figure}.yaml")
    assert done.returncode == 0, done.stderr


def figure_6(folder):
    """Figure 6 as printed, but for its dots, as a job's script."""
    text = (DATA / "figure6.py.txt").read_text()
    write(folder, "py_script.py", text.replace("... execute your analysis here ...", "# the analysis"))


@pytest.mark.parametrize("kind", ["local", "ssh"])
def test_figure_6(folder, tmp_path, kind):
    """Figure 6 as printed reports progress and writes its line to the named file too, where no cloudmesh is."""
    figure_6(folder)
    with sshd(tmp_path / "sshd") as config:
        flow = Workflow(name="w")
        flow._body["hosts"] = {"box": {"ssh_config": str(config), "workdir": str(tmp_path / "remote")}}
        flow.add_job("py_script", "py_script.py", **({"kind": "ssh", "host": "box"} if kind == "ssh" else {}))
        run = flow.run().wait()
        assert run.state == "done", (run.status(), run.log("py_script"))
        home = folder if kind == "local" else tmp_path / "remote" / run.id / "files"
        lines = (home / "py_script.log").read_text().splitlines()
        assert run.log("py_script").splitlines() == lines
    assert lines[0].startswith("# cloudmesh status=running progress=1 pid=")
    assert lines[1].startswith("# cloudmesh status=done progress=100 pid=")


@pytest.mark.parametrize("whole", [True, False])
def test_an_installed_cloudmesh_wins(folder, whole, monkeypatch):
    """Where cloudmesh-common is installed, as a package or below a namespace, Figure 6 imports that one."""
    figure_6(folder)
    common = folder / "installed" / "cloudmesh" / "common"
    common.mkdir(parents=True)
    for path in (common, common.parent)[: 1 + whole]:
        (path / "__init__.py").touch()
    (common / "StopWatch.py").write_text("def progress(progress, filename):\n    print('installed', filename)\n")
    (common / "Shell.py").write_text("class Shell:\n    map_filename = lambda name: type('', (), {'path': name})\n")
    monkeypatch.setenv("PYTHONPATH", str(folder / "installed"), prepend=":")
    flow = Workflow(name="w")
    flow.add_job("py_script", "py_script.py")
    assert flow.run().wait().log("py_script") == "installed ./py_script.log\n" * 2


def test_figure_10_over_ssh(folder, tmp_path):
    """Figure 10 with its placeholders filled and its foreign host named `kind: ssh`, over a real sshd."""
    with sshd(tmp_path / "sshd") as config:
        w = Workflow(name="workflow-analyze")
        w._body["hosts"] = {"supercomputer-a": {"ssh_config": str(config), "workdir": str(tmp_path / "remote")}}
        w.add_job(
            name="fetch-data",
            exec="hostname",
            host="supercomputer-a",
            label="{name}\nprogress={progress}",
            kind="ssh",
            status="ready",
            progress=0,
        )
        w.add_job(name="compute", command="echo '# cloudmesh status=running progress=50 answer=42'")
        w.add_job(name="analyze", command="echo analyzed")
        w.add_dependencies(dependency="start,fetch-data,compute,analyze")
        run = w.run_topo(show=False)
        assert run.state == "done", run.status()
        assert run.status("fetch-data")["host"] == "ssh:@supercomputer-a"
        assert run.outputs("compute") == {"answer": 42}
        assert (tmp_path / "remote" / run.id).is_dir()
        there, _, host = run.explain("fetch-data").partition("proof: ")[2].partition(" on ")
        assert (Path(there) / "state.exit.0").exists() and host == "ssh:@supercomputer-a"


def test_one_workflow_here_and_over_ssh(folder, tmp_path, cc):
    """Scripts travel, jobs of one host share a folder there, outputs come back and go on to local jobs."""
    with sshd(tmp_path / "sshd") as config:
        write(folder, "make.sh", 'echo data > made.txt; echo "# cloudmesh progress=50 rows=$1"\n')
        write(
            folder, "use.py", "from cc_notebook import progress\nprogress(50, text=open('made.txt').read().strip())\n"
        )
        write(
            folder,
            "w.yaml",
            f"""\
workflow:
  hosts:
    box: {{ssh_config: {config}, workdir: {tmp_path}/remote}}
  nodes:
    make: {{script: make.sh, kind: ssh, host: box, args: [7]}}
    use: {{script: use.py, kind: ssh, host: box}}
    here: {{exec: 'echo "$ROWS $TEXT" > result', env: {{ROWS: "{{make.rows}}", TEXT: "{{use.text}}"}}}}
    broken: {{exec: exit 9, kind: ssh, host: box}}
  dependencies:
    - make, use, here
""",
        )
        done = cc("run", "w.yaml", "--json")
        jobs = json.loads(done.stdout)["jobs"]
        assert done.returncode == 1 and jobs["broken"]["code"] == 9
        assert (folder / "result").read_text() == "7 data\n"
        assert not (folder / "made.txt").exists()


def test_other_kinds_say_that_they_are_not_there(folder, cc):
    """Slurm and LSF jobs validate, and running them is refused before anything starts."""
    write(folder, "w.yaml", "workflow:\n  nodes:\n    a: {exec: 'true', kind: slurm, host: hpc}\n")
    assert cc("validate", "w.yaml").returncode == 0
    done = cc("run", "w.yaml")
    assert done.returncode == 2 and "kind slurm is not part of this version" in done.stderr


def test_files_travel_whole(folder, tmp_path, cc):
    """Binary inputs arrive whole, declared outputs come back and go on to another host, logs are read from here."""
    data = bytes(range(256)) * 1000
    with sshd(tmp_path / "sshd") as config:
        (folder / "data.bin").write_bytes(data)
        (folder / "lines.csv").write_bytes(b"a\r\nb\r\n")
        write(
            folder,
            "make.sh",
            "cp lines.csv lines.bin; cp data.bin made.bin; echo told; mkdir -p sub; echo x > 'sub/a b.txt'\n",
        )
        write(folder, "use.sh", 'cmp made.bin other.bin && echo same\necho "# cloudmesh progress=50 ok=1"\n')
        write(
            folder,
            "w.yaml",
            f"""\
workflow:
  hosts:
    box: {{ssh_config: {config}, address: box, workdir: {tmp_path}/remote}}
    two: {{ssh_config: {config}, address: box, workdir: {tmp_path}/second}}
  nodes:
    make: {{script: make.sh, kind: ssh, host: box, files: {{in: [data.bin, lines.csv], out: ["*.bin", "sub/a b.txt"]}}}}
    copy: {{exec: 'cp made.bin other.bin', kind: ssh, host: two, files: {{in: [made.bin]}}}}
    use: {{script: use.sh, kind: ssh, host: two}}
    page: {{exec: 'printf "# cloudmesh progress=5 x=1\\fcc-names state.exit.0\\n"; exit 3', kind: ssh, host: box}}
    up: {{exec: 'true', kind: ssh, host: box, files: {{out: ["../x"]}}}}
    gone: {{exec: 'true', kind: ssh, host: box, files: {{out: [nothing.csv]}}}}
  dependencies: ["make, copy, use"]
""",
        )
        done = cc("run", "w.yaml", "--json")
        told = json.loads(done.stdout)
        results = folder / "w-runs" / told["run"]
        assert told["jobs"]["use"]["outputs"] == {"ok": 1}, told["jobs"]
        assert (results / "made.bin").read_bytes() == data and (results / "sub" / "a b.txt").read_text() == "x\n"
        assert (results / "lines.bin").read_bytes() == b"a\r\nb\r\n"
        assert told["jobs"]["page"]["code"] == 3 and "lies outside" in told["jobs"]["up"]["reason"]
        assert told["jobs"]["gone"]["state"] == "failed"
        assert "the file nothing.csv of 'files: out' is not there" in told["jobs"]["gone"]["reason"]
        assert cc("logs", "last", "make").stdout == "told\n" and cc("logs", "last", "use", "--tail", "5").stdout
        assert cc("logs", "last", "use", "--follow").stdout.startswith("same\n")
