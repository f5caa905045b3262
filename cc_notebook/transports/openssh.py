"""ssh by the system's own program, with one shared connection per host; it reads the user's own ssh configuration.

The default, since it does exactly what `ssh HOST` does: two-factor logins, tickets, security keys and certificates.
"""

import os

from cc_notebook.hosts.transport import Shell, program
from cc_notebook.model import Host


def connect(name: str, user: str, host: Host) -> Shell:
    """The line to a host by its name, or alias, and settings."""
    os.makedirs(os.path.expanduser("~/.ssh"), mode=0o700, exist_ok=True)
    *words, _, address = ssh(name, user, host, "-o", "BatchMode=yes")
    return program([*words, "--", address, "sh"], joins=True)


def ssh(name: str, user: str, host: Host, *more: str) -> list[str]:
    """The words that begin an ssh command to a host."""
    words = ["ssh", *more, "-o", "ConnectTimeout=15", "-o", "ControlPath=~/.ssh/cc-%C", "-o", "ControlMaster=auto"]
    words += ["-o", "ControlPersist=60"]  # others use it too: nobody ends it
    words += ["-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"]  # a cut connection is not used again
    words += ["-F", os.path.expanduser(host.ssh_config)] if host.ssh_config else []
    words += ["-p", str(host.port)] if host.port else []
    words += ["-l", user or host.user] if user or host.user else []
    return [*words, "--", host.address or name]
