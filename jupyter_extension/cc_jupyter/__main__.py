"""`python -m cc_jupyter OPTION…`: the service of `jupyter cc start`, a Jupyter server with this extension alone.

Its token stands in a file for its owner alone; no command line, URL or log ever shows it.
"""

import os
import sys
from importlib.util import find_spec

from jupyter_server.serverapp import ServerApp

from cc_notebook import serving

EXTENSIONS = ("cc_jupyter", "jupyter_server_proxy")  # the second shows what jobs serve
OPTIONS = ["--no-browser", "--allow-root", "--ServerApp.port_retries=0", "--ServerApp.default_url=/cc/"]


def main(*options: str) -> None:
    """Serve until somebody stops it."""
    token = serving.hold()
    server = ServerApp.instance(jpserver_extensions=dict.fromkeys(filter(find_spec, EXTENSIONS), True))
    server.allow_unauthenticated_access = False
    server.initialize([*OPTIONS, *options, f"--IdentityProvider.token={token}"], find_extensions=False)
    if server.ip not in ("127.0.0.1", "::1", "localhost") and not server.identity_provider.auth_enabled:
        sys.exit("your Jupyter configuration asks nobody to log in, so the service listens at 127.0.0.1 only")
    serving.tell(url=server.connection_url.rstrip("/"), path=server.base_url.rstrip("/"), root=server.root_dir)
    print("ready", flush=True)  # for who started us, and now waits
    os.dup2(2, 1)
    server.start()


if __name__ == "__main__":
    main(*sys.argv[1:])
