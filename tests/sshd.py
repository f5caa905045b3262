"""A real sshd for tests: a port and keys of its own, no root needed; started here and ended by its pid."""

import getpass
import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

from conftest import need, until


def listens(port):
    """True once somebody answers at the port of this machine."""
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def sshd(base: Path, more=""):
    """Yield the path of an ssh configuration that knows the host alias `box`, which is this machine over ssh.

    `more` goes into the server's configuration.
    """
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")
    need("sshd", program and shutil.which("ssh"))
    base.mkdir(mode=0o700)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for key in ("host", "id"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", base / key], check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (base / "authorized").write_text((base / "id.pub").read_text())
    (base / "known").write_text(f"[127.0.0.1]:{port} {(base / 'host.pub').read_text()}")
    (base / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {base}/host\nPidFile {base}/pid\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {base}/authorized\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        f"{more}\n"
    )
    client = base / "client"
    client.write_text(
        f"Host box supercomputer-a\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {base}/id\n  UserKnownHostsFile {base}/known\n  IdentitiesOnly yes\n"
        "  StrictHostKeyChecking yes\n"
    )
    server = subprocess.Popen([program, "-D", "-e", "-f", base / "config"], stderr=subprocess.DEVNULL)
    try:
        until(lambda: listens(port))
        yield client
    finally:
        server.terminate()
        server.wait()
