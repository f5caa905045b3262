"""A real sshd for tests: a port and keys of its own, no root needed; started here and ended by its pid."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from conftest import need, until


def listens(port):
    """True once somebody answers at the port of this machine."""
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def sshd(base: Path, more: str = "", serve: bool = True):
    """Yield the path of an ssh configuration that knows the host alias `box`, which is this machine over ssh.

    `more` goes into the server's configuration. Without `serve` nobody listens yet: `sshd -f <base>/config` begins it.
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
    if not serve:
        yield client
        return
    server = subprocess.Popen([program, "-D", "-e", "-f", base / "config"], stderr=subprocess.DEVNULL)
    try:
        until(lambda: listens(port))
        yield client
    finally:
        server.terminate()
        server.wait()


class Server:
    """A real sshd that tests stop, freeze and start again; its processes are known by their parent."""

    def __init__(self, base: Path) -> None:
        self.base, self.process = base, None
        self.port = int((base / "config").read_text().split()[1])

    def start(self):
        """Listen at the port of the configuration."""
        program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")
        self.process = subprocess.Popen([program, "-D", "-e", "-f", self.base / "config"], stderr=subprocess.DEVNULL)
        until(lambda: listens(self.port))

    def signal(self, number):
        """To the listener and its sessions, and to nothing that they started."""
        listener = psutil.Process(self.process.pid)
        for found in (listener, *listener.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # what a session runs can end at any moment
                if found.name().startswith("sshd"):
                    found.send_signal(number)

    def stop(self):
        """End it and every connection at once; jobs go on."""
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait()
