"""`module-sdk contract`: the shared contract suite on any store, for people who do not use pytest."""

from __future__ import annotations

import enum
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from module_sdk.cli import tables

URL_VARIABLE: Final = "MODULE_SDK_CONTRACT_URL"
PLUGINS: Final = {"pytest": "", "pytest_timeout": "pytest_timeout", "module_sdk_contract": "module_sdk_contract"}
"""What must be installed, and what of it is loaded: no other plugin of pytest has a say."""
BROKEN, NOT_JUDGED = 1, 2


class Tier(enum.StrEnum):
    QUICK = "quick"
    CORE = "core"
    DEEP = "deep"


def contract(
    url: Annotated[
        str,
        typer.Argument(
            help="The store, such as mydb://localhost; {tmp_path} in it is a folder of each test's own. One with a "
            "password belongs in the environment variable: others can read the arguments of a command.",
            envvar=URL_VARIABLE,
            show_envvar=True,
        ),
    ],
    *,
    tier: Annotated[
        Tier, typer.Option(help="quick: a sample; core: every clause; deep: also the searches.")
    ] = Tier.CORE,
    seed: Annotated[int, typer.Option(help="Of all that is random in the tests.")] = 0,
    report: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write report.json, report.md and badge.json there.")
    ] = None,
    clause: Annotated[
        list[str] | None,
        typer.Option("--clause", "-k", metavar="NAMES", help="Only these clauses or groups, such as KEY-03,PREFIX."),
    ] = None,
    opener: Annotated[
        str | None,
        typer.Option(metavar="MODULE:NAME", help="What opens the URL's managers, where no entry point does."),
    ] = None,
    canaries: Annotated[bool, typer.Option(help="First try whether the tests notice a spoilt manager.")] = True,
) -> None:
    """Prove that a store meets the contract of module-sdk backends.

    The tests write into namespaces of their own and leave them behind. The exit code is 0 if every clause that was
    tried holds, 1 if one is broken, and 2 if the run could not judge the store.
    """
    missing = [name for name in PLUGINS if importlib.util.find_spec(name) is None]
    if missing:
        tables.complain(f'error: {missing[0]} is not installed: pip install "module-sdk[contract]"')
        raise typer.Exit(NOT_JUDGED)
    options = [f"--contract-tier={tier}", f"--contract-seed={seed}"]
    options += [f"--contract-clause={names}" for names in clause or ()]
    options += [f"--contract-report={report.absolute()}"] if report else []
    options += [f"--task-manager-opener={opener}"] if opener else []
    options += [] if canaries else ["--contract-no-canaries"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(  # noqa: S603  # no shell, and every word is an argument of pytest
            [sys.executable, "-m", "pytest", *pytest_arguments(Path(folder)), *options],
            env=os.environ | {URL_VARIABLE: url, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
            check=False,
        )
    if done.returncode:
        raise typer.Exit(BROKEN if done.returncode == BROKEN else NOT_JUDGED)


def pytest_arguments(folder: Path) -> Iterator[str]:
    """Those of every run: quiet, and nothing of the project in the working folder takes part."""
    settings = folder / "pytest.ini"
    settings.write_text("[pytest]\n")
    yield from ("--pyargs", "module_sdk_contract", f"--config-file={settings}", f"--rootdir={folder}", "--noconftest")
    yield from ("-q", "--no-header", "--tb=no", "-rN", "--disable-warnings", "-p", "no:cacheprovider")
    for plugin in filter(None, PLUGINS.values()):
        yield from ("-p", plugin)
