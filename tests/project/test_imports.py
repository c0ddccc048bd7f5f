"""The modules that importing module-sdk loads, and the names that it loads lazily."""

from __future__ import annotations

import subprocess
import sys

import pytest

import module_sdk

HEAVY = {"pluggy", "importlib.metadata", "asyncio", "pydantic", "sqlalchemy", "typer", "rich"}
DRIVERS = {"sqlite3", "psycopg", "pymysql", "MySQLdb", "redis", "pymongo", "bson", "sortedcontainers"}


def modules_after(code: str) -> set[str]:
    """Return the names in `sys.modules` of a new process that has run `code`."""
    listed = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], check=True, capture_output=True, text=True
    )
    return set(listed.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert modules_after("import module_sdk") & (HEAVY | DRIVERS) == set()


def test_a_synchronous_lookup_loads_its_own_backend_and_no_asyncio() -> None:
    # when the code only makes a lookup
    loaded = modules_after(
        "import module_sdk\n"
        "module_sdk.configure(url='memory://')\n"
        "assert module_sdk.tasks.list_user_tasks(7, 3).error is None"
    )

    assert "module_sdk_memory.manager" in loaded
    assert loaded & {"asyncio", "module_sdk_sql", "sqlalchemy", "sqlite3", "typer", "rich"} == set()


def test_a_bound_session_and_components_load_no_driver() -> None:
    loaded = modules_after("import module_sdk\nmodule_sdk.bind({'user': {'id': 1}}, 'm').ui.Text('x').to_dict()")
    assert loaded & (DRIVERS | {"asyncio", "sqlalchemy", "rich", "typer"}) == set()


@pytest.mark.parametrize("name", module_sdk.__all__)
def test_every_public_name_exists_and_is_listed(name: str) -> None:
    assert getattr(module_sdk, name) is not None
    assert name in dir(module_sdk)


def test_the_lazy_names_and_the_declared_ones_are_the_same() -> None:
    assert {*module_sdk._LAZY_MODULES, *module_sdk._LAZY_NAMES} == {*module_sdk.__all__, "testing"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        module_sdk.no_such_name  # noqa: B018  # the access itself is tested


def test_the_version_is_that_of_the_distribution() -> None:
    assert module_sdk.__version__.count(".") == 2


def test_a_star_import_and_help_load_no_pytest() -> None:
    loaded = modules_after("from module_sdk import *; import module_sdk, pydoc; pydoc.render_doc(module_sdk)")
    assert "module_sdk.tasks" in loaded
    assert "pytest" not in loaded
