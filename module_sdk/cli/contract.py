"""`module-sdk contract`: the shared contract suite on any store, for people who do not use pytest."""

from __future__ import annotations

import enum
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

from module_sdk.cli import console

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
    watch: Annotated[
        bool,
        typer.Option(help="Run again whenever a Python file in this folder is saved: first what failed, then all."),
    ] = False,
) -> None:
    """Prove that a store meets the contract of module-sdk backends.

    The tests write into namespaces of their own and leave them behind. The exit code is 0 if every clause that was
    tried holds, 1 if one is broken, and 2 if the run could not judge the store.
    """
    needed = (*PLUGINS, "watchfiles") if watch else PLUGINS
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        console.complain(f'error: {missing[0]} is not installed: pip install "module-sdk[contract]"')
        raise typer.Exit(NOT_JUDGED)
    options = [f"--contract-tier={tier}", f"--contract-seed={seed}"]
    options += [f"--task-manager-opener={opener}"] if opener else []
    options += [] if canaries else ["--contract-no-canaries"]
    if watch:
        watch_and_run(url, options, clause or [])
    status = run_once(url, options, clause or [], report)
    if status:
        raise typer.Exit(BROKEN if status == BROKEN else NOT_JUDGED)


def run_once(url: str, options: list[str], clauses: list[str], report: Path | None) -> int:
    """Run the suite in a process of its own; pytest's exit code."""
    chosen = [f"--contract-clause={names}" for names in clauses]
    chosen += [f"--contract-report={report.absolute()}"] if report else []
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(  # noqa: S603  # no shell, and every word is an argument of pytest
            [sys.executable, "-m", "pytest", *pytest_arguments(Path(folder)), *options, *chosen],
            env=os.environ | {URL_VARIABLE: url, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
            check=False,
        ).returncode


def watch_and_run(url: str, options: list[str], clauses: list[str]) -> NoReturn:
    """Run after each change of a Python file below the working folder, until Ctrl-C.

    While clauses fail, only these run; once they pass, all do, since the change may have broken others.
    """
    import watchfiles  # noqa: PLC0415  # of the extra `contract`

    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        changes = watchfiles.watch(
            Path.cwd(), watch_filter=watchfiles.PythonFilter(), rust_timeout=200, yield_on_timeout=True
        )
        # It notices changes from its first step on, so that none is missed which is saved while the tests run.
        next(changes)
        while True:
            status = run_once(url, options, failed or clauses, Path(folder))
            broken = failed_clauses(Path(folder) / "report.json")
            if failed and not broken and status == 0:
                failed = []
                continue
            failed = broken
            waiting = f"{len(failed)} failed clauses" if failed else "all clauses"
            console.say(f"waiting for a change in {Path.cwd()}, which runs {waiting} again; Ctrl-C ends")
            while not next(changes):
                pass


def failed_clauses(report: Path) -> list[str]:
    """The ids of the clauses that the last run found broken; empty when it wrote no report."""
    if not report.exists():
        return []
    clauses: dict[str, dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["clauses"]
    report.unlink()
    return [name for name, clause in clauses.items() if clause["verdict"] == "failed"]


def pytest_arguments(folder: Path) -> Iterator[str]:
    """Those of every run: quiet, and nothing of the project in the working folder takes part."""
    settings = folder / "pytest.ini"
    settings.write_text("[pytest]\n")
    yield from ("--pyargs", "module_sdk_contract", f"--config-file={settings}", f"--rootdir={folder}", "--noconftest")
    yield from ("-q", "--no-header", "--tb=no", "-rN", "--disable-warnings", "-p", "no:cacheprovider")
    for plugin in filter(None, PLUGINS.values()):
        yield from ("-p", plugin)
