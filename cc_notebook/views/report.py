"""A run as one HTML page that needs nothing else, for a mail or an archive: what happened, when and why.

The data goes in as JSON and the page's own script shows it as text. No folder of this computer stands in it, but where
somebody wrote one into a label, a param or an output.
"""

import json
import os
import platform
import re
from base64 import b64encode
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from cc_notebook import __version__, hosts, store
from cc_notebook.errors import ResourceError, plain
from cc_notebook.runs import Run
from cc_notebook.views import picture, table

PARTS = Path(__file__).with_name("parts")  # of pages, this one and those of the server
EVENTS = ("submit", "start", "done", "fail", "retry", "cancel")
FIELDS = ("type", "at", "job", "attempt", "host", "started", "ended", "reason")  # of these events


def report(run: Run, path: str | Path | None = None) -> Path:
    """Write the page, by default into the folder beside the workflow where the run's logs are. Returns its path."""
    target = Path(path).expanduser() if path else Path(hosts.results(run.spec), "report.html")
    page = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    page = re.sub(r"@(\w+\.\w+)@", lambda name: (PARTS / name[1]).read_text(encoding="utf-8"), page)
    page = re.sub(r"^(import .*\n|export )", "", page.replace("@symbols@", table.SYMBOLS), flags=re.MULTILINE)
    script = page.partition("<script>")[2].partition("</script>")[0]
    # ASCII; what could end the element, or begin another, is escaped too
    text = json.dumps(data(run)).translate({ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&"})
    digest = b64encode(sha256(script.encode()).digest()).decode()
    picture.put(target, page.replace("@hash@", digest).replace("@data@", text).encode())
    return target


def data(run: Run) -> dict[str, Any]:
    """Everything that the page shows, ready for JSON."""
    view, spec, status = run.refresh(), run.spec, run.status()
    folders = sorted([(str(run.folder), run.id), (spec.folder, "."), (os.path.expanduser("~"), "~")], reverse=True)

    def told(text: object) -> str:
        short = plain(str(text))
        for folder, name in folders:
            short = re.sub(rf"(?<![\w.~-]){re.escape(folder)}(?![\w-])", name, short) if len(folder) > 1 else short
        return re.sub(r'(File "?)[~/][^\n:"]*/', r"\1…/", short)

    jobs = [asdict(row) | {"reason": told(row.reason)} for row in table.rows(run, members=True)]
    for shown in jobs:
        job = status["jobs"][shown["name"]]
        shown["group"] = view.flow.group.get(shown["name"])
        shown |= {key: job[key] for key in ("started", "ended", "attempt")} | {"outputs": _texts(job["outputs"])}
        shown["error"] = {key: told(text) for key, text in job["error"].items()}
    events = [{key: told(getattr(event, key)) for key in FIELDS} for event in run.events() if event.type in EVENTS]
    about = {"cc-notebook": __version__, "Python": platform.python_version(), "Platform": platform.platform()}
    about |= {"Python of the run": Path(spec.python).name}
    notes = [told(text) for text in (view.reason, status["note"]) if text]
    head = {key: status[key] for key in ("run", "workflow", "state", "progress")}
    head |= {"created": spec.created, "started": view.started, "stopped": view.stopped, "written": store.now()}
    head |= {"params": _texts(spec.workflow.params), "about": about, "notes": notes}
    head["edges"] = view.flow.drawn(members=True).edges
    with suppress(ResourceError):  # too large, or there is no Graphviz
        head["picture"] = b64encode(picture.svg(view.flow.drawn(), view).encode()).decode()
    return head | {"events": events, "jobs": jobs}


def _texts(values: dict[str, Any]) -> dict[str, str]:
    return {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False, default=str) for k, v in values.items()}
