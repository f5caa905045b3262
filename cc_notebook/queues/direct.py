"""The queue of a machine without a batch system: what starts an attempt is a process in a session of its own.

Pure text in, pure text out, as every queue here: sh that runs in the attempt's folder.
"""

import shlex


def submit(token: str) -> str:
    """Start the wrapper so that it outlives the connection; nothing waits for it. It inherits the lock 9, if any."""
    start = f"CC_UMASK=$cc_umask CC_ATTEMPT={shlex.quote(token)} $cc_setsid sh job.sh < /dev/null >> log 2>&1 &"
    return f"cc_setsid=; command -v setsid > /dev/null && cc_setsid=setsid; {start}"
