"""The machine that `--transport` and `--host` name."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

from cc_notebook import store
from cc_notebook.conformance.machine import RUN, Machine
from cc_notebook.hosts.known import user_hosts
from cc_notebook.hosts.parts import part
from cc_notebook.hosts.remote import RemoteHost
from cc_notebook.hosts.transport import Transport, program
from cc_notebook.model import Host


@pytest.fixture
def machine(pytestconfig: pytest.Config) -> Iterator[Machine]:
    """The machine that the options name, with a folder of its own there for each test."""
    name, transport = pytestconfig.getoption("--host"), pytestconfig.getoption("--transport")
    known, made = user_hosts(store.home()).get(name, Host()), list[RemoteHost]()

    def new() -> Transport:
        if not name and not transport:
            return program(["sh"])
        way = transport or known.transport
        connect = EntryPoint("", way, "").load() if ":" in way else part("transports", way).connect
        line: Transport = connect(name, "", known)
        return line

    def client() -> RemoteHost:
        made.append(RemoteHost(new(), Host(workdir=home), RUN, 4, None, None))
        return made[-1]

    line = new()
    home = Machine(line, "", client).sh("mktemp -d").strip()
    yield Machine(line, home, client)
    for host in made:
        host.close()
    line.run(f"rm -rf {home}\n", 30)
    line.close()
