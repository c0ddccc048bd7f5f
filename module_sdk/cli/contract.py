"""`module-sdk contract`: the shared contract suite on any store, without writing a test."""

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
"""The packages that must be installed, and the plugin of each that pytest loads. It loads no others."""
BROKEN, NOT_JUDGED = 1, 2


class Tier(enum.StrEnum):
    QUICK = "quick"
    CORE = "core"
    DEEP = "deep"


def contract(
    url: Annotated[
        str,
        typer.Argument(
            help="The store, such as mydb://localhost; {tmp_path} in it becomes a folder of each test. A URL with a "
            "password belongs in the environment variable: other users can read the arguments of a command.",
            envvar=URL_VARIABLE,
            show_envvar=True,
        ),
    ],
    *,
    tier: Annotated[
        Tier, typer.Option(help="quick: a sample; core: every clause; deep: also the searches.")
    ] = Tier.CORE,
    seed: Annotated[int, typer.Option(help="The seed of everything random in the tests.")] = 0,
    report: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write report.json, report.md and badge.json there.")
    ] = None,
    clause: Annotated[
        list[str] | None,
        typer.Option("--clause", "-k", metavar="NAMES", help="Only these clauses or groups, such as KEY-03,PREFIX."),
    ] = None,
    opener: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME", help="The function that opens a manager for the URL, if no entry point does."
        ),
    ] = None,
    canaries: Annotated[bool, typer.Option(help="First check that the tests notice a manager with a bug.")] = True,
    watch: Annotated[
        bool,
        typer.Option(
            help="Run again whenever a Python file in this folder is saved: first the failed clauses, then all."
        ),
    ] = False,
) -> None:
    """Prove that a store meets the contract of module-sdk backends.

    The tests write into new namespaces and do not remove them. The exit code is 0 if every tested clause is kept, 1 if
    one is broken, and 2 if the run could not judge the store.
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
    """Run the suite in a new process. Return pytest's exit code."""
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

    While clauses fail, only these run. Once they pass, all run, since the change may have broken others.
    """
    import watchfiles  # noqa: PLC0415  # part of the extra `contract`

    failed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        changes = watchfiles.watch(
            Path.cwd(), watch_filter=watchfiles.PythonFilter(), rust_timeout=200, yield_on_timeout=True
        )
        # Watching begins with the first step. It must precede the tests, so that no file saved meanwhile is missed.
        next(changes)
        while True:
            status = run_once(url, options, failed or clauses, Path(folder))
            broken = failed_clauses(Path(folder) / "report.json")
            if failed and not broken and status == 0:
                failed = []
                continue
            failed = broken
            selected = f"{len(failed)} failed clauses" if failed else "all clauses"
            console.say(f"waiting for a change in {Path.cwd()}, which runs {selected} again; Ctrl-C ends")
            while not next(changes):
                pass


def failed_clauses(report: Path) -> list[str]:
    """Return the ids of the clauses that the last run found broken; empty if it wrote no report."""
    if not report.exists():
        return []
    clauses: dict[str, dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["clauses"]
    report.unlink()
    return [name for name, clause in clauses.items() if clause["verdict"] == "failed"]


def pytest_arguments(folder: Path) -> Iterator[str]:
    """Yield the arguments of every run: quiet, and without settings or plugins of the project in the working folder."""
    settings = folder / "pytest.ini"
    settings.write_text("[pytest]\n")
    yield from ("--pyargs", "module_sdk_contract", f"--config-file={settings}", f"--rootdir={folder}", "--noconftest")
    yield from ("-q", "--no-header", "--tb=no", "-rN", "--disable-warnings", "-p", "no:cacheprovider")
    for plugin in filter(None, PLUGINS.values()):
        yield from ("-p", plugin)
