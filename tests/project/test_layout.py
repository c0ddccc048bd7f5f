"""Rules for the layout of the project (CONTRIBUTING.md)."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, Final

import module_sdk_contract
import pytest

import module_sdk.backends
from tests.support.environments import ROOT, tracked_files

MAXIMUM_LINES: Final = 400
BACKENDS: Final = {folder.name: f"module_sdk_{folder.name}" for folder in sorted((ROOT / "backends").glob("[a-z]*"))}
PLUGINS: Final = sorted([*ROOT.glob("backends/*/module_sdk_*"), *ROOT.glob("examples/*/module_sdk_*")])
"""The packages of our backends, and of the example backend."""
STORE_EXTRAS: Final = ("postgres", "mysql", "redis", "mongo")
# The import names of the core dependencies that only one backend may use.
STORE_LIBRARIES: Final = {"sqlalchemy", "sortedcontainers", "sqlite3"}


def imports(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports_of(folder: Path) -> set[tuple[str, str]]:
    """Return pairs of a file's name and a module that it imports."""
    return {(path.name, name) for path in folder.rglob("*.py") for name in imports(path)}


def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def distribution(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match
    return match[0].lower().replace("_", "-")


def test_no_file_is_long() -> None:
    long = [path for path in tracked_files("*.py") if len(path.read_text().splitlines()) >= MAXIMUM_LINES]
    assert long == []


def test_no_module_looks_private() -> None:
    dunder = {"__init__.py", "__main__.py"}
    private = [path for path in tracked_files("*.py") if path.name.startswith("_") and path.name not in dunder]
    private += [path for path in tracked_files("*.py") if any(part.startswith("_") for part in path.parent.parts)]
    assert private == []


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_a_backend_imports_only_published_names(folder: Path) -> None:
    used = {name for _, name in imports_of(folder)}
    others = {plugin.name for plugin in PLUGINS} - {folder.name}
    assert {name for name in used if name.split(".")[0] in others} == set()
    core = {name for name in used if name.split(".")[0] == "module_sdk"}
    assert core, "the backend has no code"
    assert core - {f"module_sdk.backends.{name}" for name in module_sdk.backends.__all__} == set()


def test_the_example_backend_imports_only_the_published_suite() -> None:
    used = {name for _, name in imports_of(ROOT / "examples" / "module-sdk-duckdb" / "tests")}
    published = {
        f"{module.__name__}.{name}" for module in (module_sdk_contract, module_sdk.backends) for name in module.__all__
    }
    ours = {name for name in used if name.split(".")[0] in ("module_sdk", "module_sdk_contract")}
    assert ours & published
    assert ours - published == set()


def test_the_names_for_plugins_are_sorted_and_documented() -> None:
    names = module_sdk.backends.__all__
    page = (ROOT / "docs" / "write-a-backend.md").read_text()
    assert names == sorted(names, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert [name for name in names if not re.search(rf"\b{name}\b", page)] == []


def test_the_core_knows_no_backend_and_no_driver() -> None:
    # given the packages that the extras of stores install, and those of the embedded backends
    extras = project()["optional-dependencies"]
    drivers = {distribution(requirement) for extra in STORE_EXTRAS for requirement in extras[extra]}
    libraries = {name for name, owners in packages_distributions().items() if drivers & {o.lower() for o in owners}}
    assert libraries >= {"psycopg", "pymysql", "redis", "pymongo"}

    # when the core is read
    forbidden = libraries | STORE_LIBRARIES | set(BACKENDS.values())
    used = imports_of(ROOT / "module_sdk")
    sources = {path.name: path.read_text() for path in (ROOT / "module_sdk").rglob("*.py")}

    # then it imports none of them, and has none of their names in a text (`redis` is also the scheme of a URL)
    assert {pair for pair in used if pair[1].split(".")[0] in forbidden} == set()
    named = re.compile(rf"\b({'|'.join(sorted(forbidden - {'redis'}))})\b")
    assert {(name, found[0]) for name, text in sources.items() if (found := named.search(text))} == set()


def test_every_process_has_the_same_tests_in_the_same_order(request: pytest.FixtureRequest) -> None:
    """Assert what pytest-xdist needs: an id contains no address, no random value and no item of a set."""
    here = [item.nodeid for item in request.session.items if ROOT / "tests" in item.path.parents]
    files = dict.fromkeys(name.partition("::")[0] for name in here)
    command = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "-p", "no:cacheprovider", *files]
    run = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )

    # This process may run only some of the tests.
    known = set(here)
    assert [line for line in run.stdout.splitlines() if line in known] == here


def test_every_dependency_says_why_it_is_there() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    table = project()
    groups = [table["dependencies"], *table["optional-dependencies"].values()]
    for requirement in (requirement for group in groups for requirement in group):
        if distribution(requirement) == "module-sdk":
            continue
        reasons = [line for line in lines if re.search(rf'"{re.escape(requirement)}"\]?,?\s+# \w', line)]
        assert reasons, f"no reason beside {requirement}"


FLOORS: Final = ("errors", "domain", "store", "plugins", "facade", "runner")
"""The packages of the core, the lowest first. The modules that users import are above these; `cli` is the highest."""
HIGHEST: Final = ("__init__", "cli")


def floor(module: str) -> int:
    """Return the floor of a module of the core, by the first part of its name below `module_sdk`."""
    if module in FLOORS:
        return FLOORS.index(module)
    return len(FLOORS) + (module in HIGHEST)


def test_no_module_of_the_core_imports_upwards() -> None:
    core = ROOT / "module_sdk"
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in sorted(core.rglob("*.py"))
        for name in imports(path)
        if name.startswith("module_sdk.")
        and floor(name.split(".")[1]) > floor(path.relative_to(core).with_suffix("").parts[0])
    ]
    assert found == [], "imports inside functions and imports only for types count as well"


ROLES: Final = {
    "connection",
    "diagnosis",
    "errors",
    "explain",
    "filters",
    "manager",
    "options",
    "plugin",
    "pool",
    "queries",
    "records",
    "schema",
}
"""The file name of each role, the same in every backend. A backend may lack a role and may have more files."""


@pytest.mark.parametrize("name", BACKENDS)
def test_a_role_has_one_file_name_in_every_backend(name: str) -> None:
    package = ROOT / "backends" / name / BACKENDS[name]
    modules = {path.stem for path in package.glob("*.py")} - {"__init__"}
    own = {
        "memory": set[str](),
        "mongo": {"updates"},
        "redis": {"index_reads", "routing", "scripts", "sentinels"},
        "sql": {"group_commit", "migrations"},
    }
    assert modules - ROLES == own[name], "a role has another name here, or the list of roles is incomplete"
    assert {"manager", "plugin", "filters"} <= modules
    assert (ROOT / "backends" / name / "tests" / "test_contract.py").exists()
