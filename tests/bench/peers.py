"""The peers: an environment of their own, how each runs a graph to its end, and the versions of all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

import graphs
from graphs import FLOWS, Graph
from tools import BenchError, Tools, text_of, timed

PEERS = ("luigi", "doit", "snakemake", "jupyter-scheduler")
FLOW_OF = {"luigi": "luigi_flow.py", "doit": "dodo.py", "snakemake": "Snakefile"}
VERSIONS = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"


def peer_python(cache: Path) -> Path:
    """The interpreter of the peers' environment, made and filled where it is not there yet."""
    python = cache / "bin" / "python"
    if not _complete(python):
        print(f"installing {', '.join(PEERS)} in {cache}", file=sys.stderr, flush=True)
        text_of([sys.executable, "-m", "venv", cache])
        _install(python)
    return python


def _complete(python: Path) -> bool:
    try:
        return bool(text_of([python, "-c", VERSIONS, *PEERS]))
    except BenchError:
        return False


def _install(python: Path, tries: int = 3) -> None:
    """A download may break off: pip goes on from its cache."""
    for left in reversed(range(tries)):
        try:
            text_of([python, "-m", "pip", "install", "--disable-pip-version-check", "-q", *PEERS])
            return
        except BenchError:
            if not left:
                raise


def versions(tools: Tools) -> dict[str, str]:
    """The version of each tool by its name, ours included."""
    ours = json.loads(text_of([sys.executable, "-c", VERSIONS, "cc-notebook"]))
    peers = json.loads(text_of([tools.peers, "-c", VERSIONS, *PEERS]))
    make = text_of(["make", "--version"]).splitlines()[0]
    return {"Python": sys.version.split()[0], **ours, **peers, "make": re.sub(r"^\D*", "", make)}


def package() -> Path:
    """The folder of the code that is measured, wherever it is installed."""
    return Path(text_of([sys.executable, "-c", "import cc_notebook; print(cc_notebook.__file__)"])).parent


def fingerprint() -> str:
    """What tells one state of our installed code from another: a table must not mix two."""
    files = sorted(path for path in package().rglob("*") if path.suffix in (".py", ".sh"))
    return hashlib.sha256(b"\0".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


def _words(tools: Tools, peer: str) -> list[str | Path]:
    """The command that runs a folder's graph, two jobs at a time."""
    words = {
        "luigi": "--module luigi_flow All --local-scheduler --workers 2 --log-level WARNING",
        "doit": "-n 2",
        "snakemake": "--cores 2 --quiet all",
        "make": "-j2",
    }[peer]
    return ["make" if peer == "make" else tools.peers.parent / peer, *words.split()]


def run_peer(tools: Tools, peer: str, graph: Graph) -> float:
    """Seconds of a peer's whole process; raises BenchError unless every job has its target file."""
    where = graphs.folder(tools.work / peer, graph)
    if peer == "make":
        graphs.makefile(where, graph)
    else:
        shutil.copyfile(FLOWS / (flow := FLOW_OF[peer]), where / flow)
    env = {"PYTHONPATH": str(where), "XDG_CACHE_HOME": str(tools.work / "cache"), "PATH": _path(tools)}
    seconds = timed(_words(tools, peer), where, env)
    missing = set(graph) - {path.name for path in (where / "out").iterdir()}
    if missing:
        raise BenchError(f"{peer} left {len(missing)} of {len(graph)} jobs undone")
    return seconds


def _path(tools: Tools) -> str:
    return f"{tools.peers.parent}{os.pathsep}{os.environ.get('PATH', '')}"
