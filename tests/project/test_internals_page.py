"""The page for people who change the code names every fork hook and every thread that the sources have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.environments import ROOT, tracked_files

PAGE: Final = ROOT / "docs" / "internals.md"
HOOK: Final = "register_at_fork"
THREAD_MAKERS: Final = ("Thread", "Workers")
PREFIX: Final = "module-sdk-"
PATHS_FROM: Final = ("backends", "benchmarks", "contract_tests", "devtools", "docs", "examples", "module_sdk", "tests")


def calls_of(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def name_of(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def fork_hooks(path: Path) -> bool:
    """Return whether the file registers a fork hook."""
    return HOOK in path.read_text() and any(name_of(call) == HOOK for call in calls_of(path))


def thread_names(path: Path) -> Iterator[str]:
    """Yield the names of threads that the file starts."""
    for call in calls_of(path):
        if name_of(call) in THREAD_MAKERS:
            for value in (*call.args, *(keyword.value for keyword in call.keywords)):
                if isinstance(value, ast.Constant) and str(value.value).startswith(PREFIX):
                    yield str(value.value)


def sources() -> list[Path]:
    """Return the modules of the core and of the backends, without their tests."""
    return [*ROOT.glob("module_sdk/**/*.py"), *ROOT.glob("backends/*/module_sdk_*/**/*.py")]


def quoted_on_the_page() -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", PAGE.read_text()))


def test_every_module_that_registers_a_fork_hook_is_on_the_page() -> None:
    hooking = {str(path.relative_to(ROOT)) for path in tracked_files("*.py") if fork_hooks(path)}
    assert len(hooking) > 5
    assert hooking - quoted_on_the_page() == set()


def test_the_threads_on_the_page_are_those_of_the_sources() -> None:
    started = {name for path in sources() for name in thread_names(path)}
    documented = {text for text in quoted_on_the_page() if re.fullmatch(f"{PREFIX}[a-z-]*[a-z]", text)}
    assert len(started) > 5
    assert documented == started


def test_every_path_on_the_page_exists() -> None:
    paths = {text for text in quoted_on_the_page() if re.fullmatch(rf"({'|'.join(PATHS_FROM)})/\S+", text)}
    assert len(paths) > 40
    assert {path for path in paths if not (ROOT / path).exists()} == set()
