"""`python -m cc_jupyter FOLDER OPTION…`: the service of `jupyter cc start`, a Jupyter server with this extension alone.

Who holds the lock in the folder is the service; only then the other files there are true. Each start has a new token,
which stands in a file for its owner alone. No command line, URL or log ever shows it.
"""

import fcntl
import json
import os
import secrets
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from jupyter_server.serverapp import ServerApp

from cc_notebook import store

EXTENSIONS = ("cc_jupyter", "jupyter_server_proxy")  # the second shows what jobs serve
OPTIONS = ["--no-browser", "--allow-root", "--ServerApp.port_retries=0", "--ServerApp.default_url=/cc/"]


def main(folder: Path, *options: str) -> None:
    """Serve until somebody stops it."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(100):  # who only looks whether somebody has the lock has it for an instant
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        time.sleep(0.05)
    else:
        print("another start was faster")
        return
    told, token = folder / "service.json", secrets.token_urlsafe(32)
    told.unlink(missing_ok=True)
    store.write_new(folder / "token", token)
    server = ServerApp.instance(jpserver_extensions=dict.fromkeys(filter(find_spec, EXTENSIONS), True))
    server.allow_unauthenticated_access = False
    server.initialize([*OPTIONS, *options, f"--IdentityProvider.token={token}"], find_extensions=False)
    if server.ip not in ("127.0.0.1", "::1", "localhost") and not server.identity_provider.auth_enabled:
        sys.exit("your Jupyter configuration asks nobody to log in, so the service listens at 127.0.0.1 only")
    known = {"pid": os.getpid(), "url": server.connection_url.rstrip("/"), "path": server.base_url.rstrip("/")}
    store.write_new(told, json.dumps(known | {"root": str(Path(server.root_dir).absolute())}))
    print("ready", flush=True)  # for who started us, and now waits
    os.dup2(2, 1)
    server.start()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
