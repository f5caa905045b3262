"""The benchmark's graph for Luigi: one task per job, a target file for each, as its documentation has it."""

import json
import subprocess
from pathlib import Path

import luigi

PARENTS: dict[str, list[str]] = json.loads(Path("graph.json").read_text(encoding="utf-8"))


class Job(luigi.Task):
    """One job: done when its target exists."""

    name = luigi.Parameter()

    def requires(self) -> list[luigi.Task]:
        """The jobs before this one."""
        return [Job(parent) for parent in PARENTS[self.name]]

    def output(self) -> luigi.LocalTarget:
        """The target file of this job."""
        return luigi.LocalTarget(f"out/{self.name}")

    def run(self) -> None:
        """Execute the job script, then write the target."""
        subprocess.run(["sh", "t.sh"], check=True)
        with self.output().open("w"):
            pass


class All(luigi.WrapperTask):
    """Every job of the graph."""

    def requires(self) -> list[luigi.Task]:
        """All of them."""
        return [Job(name) for name in PARENTS]
