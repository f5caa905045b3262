"""A real sshd for tests: a port and keys of its own, no root needed; started here and ended by its pid."""

import ctypes
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

HERE = "127.0.0.1"
LIBC, NETWORK = ctypes.CDLL(None), 0x40000000  # CLONE_NEWNET: Python 3.11 has neither os.unshare nor os.setns


def listens(port, address=HERE):
    """True once somebody answers at the port of this machine."""
    with socket.socket() as line:
        return line.connect_ex((address, port)) == 0


class Link:
    """A network namespace, for the network another computer, at the other end of a link that can be cut.

    The test moves into one too: browsers of other tests, told of each new device, would break off what they load.
    """

    def __init__(self, number: int = 0) -> None:
        self.name, net = f"cc{os.getpid()}n{number}", f"10.{213 + number}.{os.getpid() // 64 % 256}"
        first = os.getpid() % 64 * 4
        mine, self.address = f"{net}.{first + 1}", f"{net}.{first + 2}"
        self.words = ["ip", "netns", "exec", self.name]
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        moved = number or (shutil.which("ip") and LIBC.unshare(NETWORK) == 0 and self._ip("link", "set", "lo", "up"))
        veth = ("link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        made = moved and self._ip("netns", "add", self.name) and self._ip(*veth)
        if not made:
            LIBC.setns(self.home, NETWORK)
        need("ip netns (as root)", made)
        for where, device, address in (((), self.name, mine), (("-n", self.name), "eth0", self.address)):
            assert self._ip(*where, "addr", "add", f"{address}/30", "dev", device)
            assert self._ip(*where, "link", "set", device, "up")
        assert self._ip("-n", self.name, "link", "set", "lo", "up")  # kernels of notebooks talk over it

    def _ip(self, *words):
        return not subprocess.run(["ip", *words], capture_output=True, timeout=10, check=False).returncode

    def set(self, state):
        """`down` cuts the link, `up` mends it; connections do not hear of it."""
        assert self._ip("-n", self.name, "link", "set", "eth0", state)

    def boots(self, file):
        """What is started there from now on finds the text of a file as the id of its boot."""
        mount = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'
        self.words = ["ip", "netns", "exec", self.name, "sh", "-c", mount, file]

    def kill(self):
        """End all that runs there, as when the power fails."""
        words = ["ip", "netns", "pids", self.name]
        for pid in subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def close(self):
        """Remove it with all that runs in it."""
        self.kill()
        self._ip("link", "del", self.name)
        self._ip("netns", "del", self.name)
        assert LIBC.setns(self.home, NETWORK) == 0
        os.close(self.home)


@contextmanager
def sshd(base: Path, more: str = "", serve: bool = True, link: Link | None = None):
    """Yield the path of an ssh configuration that knows the host alias `box`, which is this machine over ssh.

    The home there is empty, since a login there could hang in what the real one's `.bashrc` does. `more` goes into the
    server's configuration. Without `serve` nobody listens yet: `sshd -f <base>/config` begins it. With `link` it
    listens at the other end of that.
    """
    address = link.address if link else HERE
    program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")
    need("sshd", program and shutil.which("ssh"))
    (base / "home").mkdir(mode=0o700, parents=True)
    base.chmod(0o700)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    for key in ("host", "id"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", base / key], check=True)
    with socket.socket() as free:
        free.bind((HERE, 0))
        port = free.getsockname()[1]
    (base / "authorized").write_text((base / "id.pub").read_text())
    (base / "known").write_text(f"[{address}]:{port} {(base / 'host.pub').read_text()}")
    (base / "config").write_text(
        f"Port {port}\nListenAddress {address}\nHostKey {base}/host\nPidFile {base}/pid\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {base}/authorized\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        f"SetEnv HOME={base}/home\n{more}\n"
    )
    client = base / "client"
    client.write_text(
        f"Host box supercomputer-a\n  HostName {address}\n  Port {port}\n  User {getpass.getuser()}\n"
        f"  IdentityFile {base}/id\n  UserKnownHostsFile {base}/known\n  IdentitiesOnly yes\n"
        "  StrictHostKeyChecking yes\n"
    )
    if not serve:
        yield client
        return
    words = [*(link.words if link else []), program, "-D", "-e", "-f", base / "config"]
    server = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        until(lambda: listens(port, address))
        yield client
    finally:
        server.terminate()
        server.wait()


class Server:
    """A real sshd that tests stop, freeze and start again; its processes are known by their parent."""

    def __init__(self, base: Path, link: Link | None = None) -> None:
        self.base, self.process = base, None
        self.link, self.address = link, link.address if link else HERE
        self.port = int((base / "config").read_text().split()[1])

    def start(self):
        """Listen at the port of the configuration."""
        program = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")
        words = [*(self.link.words if self.link else []), program, "-D", "-e", "-f", self.base / "config"]
        self.process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        until(lambda: listens(self.port, self.address))

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
