"""The group that every command joins, and what they share: errors as one clear text, names, KEY=VALUE."""

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any

import click

from cc_notebook import __version__, store
from cc_notebook.errors import CCError, InputError, clean

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


class _Commands(click.Group):
    """Shows an error of ours, what is no text or cannot be written, and Ctrl-C at any moment, without a traceback."""

    def main(self, args: Any = None, *more: Any, **options: Any) -> Any:
        try:
            " ".join(sys.argv[1:] if args is None else args).encode()
            return super().main(args, *more, **options)
        except CCError as error:
            told = str(error)
        except UnicodeEncodeError as error:
            told = f"{error.object!a} is no text in UTF-8: give it another name"
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):  # a disk, or a terminal that has gone
                raise
            told = f"{error.filename or 'the output'} cannot be written: {error.strerror}"
        click.echo("\n".join(f"error: {clean(line)}" for line in told.splitlines()), err=True)
        sys.exit(2)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\ninterrupted; what was started goes on, see: jupyter cc runs", err=True)
            ctx.exit(130)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="jupyter cc")
def main() -> None:
    """Run workflows of scripts: write a graph in YAML, run it, watch it, come back later."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that lacks our symbols shows marks instead
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def file_of(name: str) -> Path:
    """A workflow file by path, or by its name: that of this folder, else the one that is registered."""
    path = Path(os.path.expanduser(name))
    if os.path.isfile(path) or path.suffix in (".yaml", ".yml") or "/" in name:
        return path
    found = [Path(f"{name}.yaml")] if os.path.isfile(f"{name}.yaml") else store.registered(name)
    if len(found) > 1:
        raise InputError(f"'{name}' could be {' or '.join(map(str, found))}: name the file")
    return found[0] if found else path


def pair(text: str) -> tuple[str, str]:
    """A key and its value. Raises InputError for what is none."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise InputError(f"{text}: write KEY=VALUE")
    return key, value
