"""Workflows of a Jupyter server from afar: the article's `RESTWorkflow`, over the server's REST service."""

import io
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from cc_notebook import files, serving, spec
from cc_notebook.errors import CCError, InputError, UnavailableError

if TYPE_CHECKING:
    import requests

LIMIT = 90  # seconds that an answer may take; the server itself waits 60 at most


class RESTWorkflow:
    """The REST service of a Jupyter server: one with this `url` and `token`, else a running one of this user.

    Answers are what the server tells as JSON. Raises InputError for what it refuses, UnavailableError if it cannot be
    reached.
    """

    def __init__(self, url: str | None = None, token: str = "") -> None:
        import requests  # only here, since it takes as long as all that a command of `jupyter cc` imports

        self._session = requests.Session()
        for found, secret in [(url, token)] if url else _servers():
            self.url = f"{found.rstrip('/')}/cc/api"
            self._session.headers["Authorization"] = f"token {secret}"
            with suppress(*(() if url else (CCError,))):  # one that was found may be no server of ours any more
                self._ask("GET", "version")
                return
        raise UnavailableError("no Jupyter server of yours answers: start one by 'jupyter lab', or give url and token")

    @classmethod
    def of_service(cls) -> Self:
        """That of `jupyter cc start`. Raises InputError if it is not running."""
        told = serving.known()
        return cls(told["url"], Path(told["token_file"]).read_text())

    def list_workflows(self) -> list[dict[str, Any]]:
        """The known workflows, with their names and paths."""
        return list(self._json("GET", "workflows")["workflows"])

    def get_workflow(self, name: str, job: str | None = None) -> dict[str, Any]:
        """A workflow as it is written, or one of its jobs."""
        return self._json("GET", "workflows", name, *(["jobs", job] if job else []))

    def upload_workflow(self, filename: str | Path, name: str | None = None) -> dict[str, Any]:
        """Give the server a YAML file with the scripts that it names, or an archive. Nothing runs by that."""
        path = Path(filename).expanduser()
        data = path.read_bytes() if path.is_file() and path.suffix not in (".yaml", ".yml") else _packed(path)
        headers, params = {"Content-Type": "application/zip"}, {"name": name} if name else {}
        return self._json("POST", "workflows", data=data, headers=headers, params=params)

    def add_job(self, workflow: str, name: str, **attributes: Any) -> dict[str, Any]:
        """Add a job, or replace the one of that name."""
        return self._json("PUT", "workflows", workflow, "jobs", name, json=attributes)

    def delete_workflow(self, name: str, job: str | None = None) -> None:
        """Remove what the server's program keeps of a workflow, with its runs; or one job of it."""
        self._ask("DELETE", "workflows", name, *(["jobs", job] if job else []))

    def run_workflow(self, name: str, wait: float = 0, key: str = "", **options: Any) -> dict[str, Any]:
        """Start a workflow (once for each `key`); the run with its outputs so far. Options are those of `POST runs`."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return self._json("POST", "runs", json={"workflow": name, **options}, headers=headers, params={"wait": wait})

    def events(self, run: str, after: int = 0) -> Iterator[dict[str, Any]]:
        """What happened and happens in a run, until it ends."""
        told: dict[str, Any] = {"ended": False, "seq": after}
        while not told["ended"]:
            told = self._json("GET", "runs", run, "events", params={"wait": 20, "after": told["seq"]})
            yield from told["events"]

    def wait(self, run: str) -> dict[str, Any]:
        """Wait for a run's end and return it with its jobs."""
        for _ in self.events(run):
            pass
        return self._json("GET", "runs", run)

    def log(self, run: str, job: str, follow: bool = False) -> str:
        """The newest mebibyte of a job's log; with `follow` it is printed as it grows, until the job has ended."""
        import requests

        at, seen = ("runs", run, "jobs", job), 0
        begun = (event["attempt"] for event in self.events(run) if event.get("job") == job and event.get("attempt"))
        number = self._json("GET", *at)["attempt"] or next(begun, 0) if follow else 0
        while follow:  # one attempt after the other, for each has a log of its own
            query = {"attempt": number, "start": seen, "follow": 1}
            with suppress(requests.RequestException):  # nothing came for long: from there on again
                for piece in self._ask("GET", *at, "log", params=query, stream=True).iter_content(None):
                    print(piece.decode(errors="replace"), end="", flush=True)
                    seen += len(piece)
                follow = self._json("GET", *at)["attempt"] > number
                number, seen = number + 1, 0
        return self._ask("GET", *at, "log", params={"start": -(1 << 20)}).text

    def cancel(self, run: str, *jobs: str) -> dict[str, Any]:
        """Cancel a run, or some of its jobs."""
        return self._json("POST", "runs", run, "cancel", json={"jobs": list(jobs)})

    def _json(self, method: str, *names: str, **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._ask(method, *names, **options).json()
        return found

    def _ask(self, method: str, *names: str, **options: Any) -> "requests.Response":
        path = "/".join(quote(name, safe="") for name in names)
        try:
            answer = self._session.request(method, f"{self.url}/{path}", timeout=LIMIT, **options)
        except OSError as error:  # as all that requests raises
            raise UnavailableError(f"{self.url} cannot be reached: {error}") from None
        if not answer.ok:
            told = {"message": f"{self.url} answers {answer.status_code}"}
            with suppress(ValueError):
                told = answer.json()
            kind = UnavailableError if answer.status_code >= 500 else InputError
            raise kind("; ".join(filter(None, (told.get("message"), told.get("hint")))))
        return answer


def _servers() -> Iterator[tuple[str, str]]:
    """The URL and token of each running Jupyter server of this user, by the files that they leave."""
    if found := serving.running():
        yield found["url"], Path(found["token_file"]).read_text()
    from jupyter_server.serverapp import list_running_servers  # two seconds, only where our own service does not run

    for server in list_running_servers():
        yield server["url"], server["token"]


def _packed(path: Path) -> bytes:
    """A workflow file as a zip, with the scripts, files and workflows that it names."""
    folder, out, text = path.parent.resolve(), io.BytesIO(), files.read_file(path)
    flow = spec.parse(text, path.name, path.stem, files.place(folder))
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in ({path.name: text} | files.named(flow, folder)).items():
            archive.writestr(name, data)
    return out.getvalue()
