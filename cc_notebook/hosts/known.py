"""The user's own hosts, which every workflow may name."""

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from cc_notebook import yamltext
from cc_notebook.errors import SpecError
from cc_notebook.files import read_file
from cc_notebook.model import Host


def user_hosts(store: Path) -> dict[str, Host]:
    """The hosts of the user's own `hosts.yaml` in the store. Raises SpecError for what is wrong in it."""
    path = store / "hosts.yaml"
    if not path.exists():
        return {}
    document = yamltext.read(read_file(path), str(path))
    try:
        return TypeAdapter(dict[str, Host]).validate_python(document.value or {})
    except ValidationError as error:
        for entry in error.errors():
            told = ".".join(map(str, entry["loc"]))
            document.problem(entry["loc"], f"{told}: {entry['msg']}", "see `hosts:` in the README")
        raise SpecError(document.problems) from None
