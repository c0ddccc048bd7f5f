"""The commands of `module-sdk`, the global options, and the output of errors."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
from typing import Annotated

import typer

from module_sdk import __version__
from module_sdk.cli import console, contract, demo, doctor, new_backend, tasks
from module_sdk.cli.store import StoreOptions
from module_sdk.errors import InvalidInputError, ModuleSDKError
from module_sdk.facade.runtime import reset

FAILURE = 1
WRONG_USAGE = 2

app = typer.Typer(
    name="module-sdk",
    help="Task state in any store: try it, check it, inspect it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("contract")(contract.contract)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("new-backend")(new_backend.new_backend)
app.add_typer(tasks.app, name="tasks")


def print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"module-sdk {__version__}")
        raise typer.Exit


@app.callback()
def choose_store(
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(
            help="The store, such as sqlite:///tasks.db. A URL with a password belongs in the environment variable "
            "MODULE_SDK_TASKS_URL instead: other users of the machine can read the arguments of a command.",
            show_default="environment, files, then an SQLite file of the user",
        ),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Separates applications on one server.", show_default="module_sdk")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    context.obj = StoreOptions(url, namespace)


@app.command()
def setup(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Create or upgrade the schema of the store. It is safe to repeat, also from several machines at once."""
    manager = context.obj.open().manager()
    manager.setup()
    facts = manager.diagnose().facts
    if as_json:
        typer.echo(json.dumps({"url": str(manager.url), "facts": facts}, indent=2))
    else:
        version = facts.get("schema version")
        console.say(f"{manager.url} is ready{f' (schema version {version})' if version else ''}")


class LogLines(logging.Handler):
    """Log records of the package as lines on stderr, without tracebacks."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        reason = f": {type(error).__name__}: {error}" if error is not None else ""
        console.complain(f"{record.levelname.lower()}: {record.getMessage()}{reason}")


def main() -> None:
    """Run a command and exit: 0, 1 after a failure, 2 for wrong usage, 130 when interrupted."""
    for stream in (sys.stdout, sys.stderr):
        # Labels and keys may contain characters that the encoding of the terminal lacks.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.getLogger("module_sdk").addHandler(LogLines(logging.WARNING))
    try:
        app(prog_name="module-sdk")
    except ModuleSDKError as error:
        console.complain(f"error: {error}")
        sys.exit(WRONG_USAGE if isinstance(error, InvalidInputError) else FAILURE)
    except OSError as error:
        # Python flushes stdout when it exits, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        console.complain(f"error: the output cannot be written: {error}")
        sys.exit(FAILURE)
    finally:
        # Close the connections: servers log those that are not.
        with contextlib.suppress(ModuleSDKError):
            reset()
