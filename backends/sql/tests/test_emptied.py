"""After a store was emptied in any way, all calls raise `SchemaMissingError` until `setup` has run (SEE-10)."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from module_sdk_sql.manager import SQLTaskManager
from module_sdk_sql.pool import SCHEMA_CHECK_SECONDS

import module_sdk
from devtools.servers.kinds import MariaDB, PostgreSQL
from module_sdk import tasks
from module_sdk.backends import SchemaMissingError, Task, TaskManager
from tests.support.corruption import drop_tables
from tests.support.forked import in_a_child

Opener = Callable[..., SQLTaskManager]
TaskMaker = Callable[..., Task]

SERVERS: Final = {"postgresql": PostgreSQL, "mariadb+pymysql": MariaDB, "mariadb+mysqldb": MariaDB}
STORES: Final = ["sqlite", "postgresql", "mariadb+pymysql", "mariadb+mysqldb"]


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, path: Path) -> Iterator[str]:
    """The URL of a database or a file of the test's own."""
    if request.param == "sqlite":
        yield f"sqlite:///{path}"
        return
    if request.param == "mariadb+mysqldb" and importlib.util.find_spec("MySQLdb") is None:
        pytest.skip("mysqlclient is not installed")
    kind = SERVERS[request.param]
    server = request.getfixturevalue(f"{request.param.partition('+')[0]}_url")
    own = kind.create_database(server)
    yield own.replace("mariadb:", f"{request.param}:")
    kind.drop_database(own)


def run(manager: SQLTaskManager, sql: str) -> None:
    manager.pool.execute(sql, (), time.monotonic() + 10)


def drop_tasks(manager: SQLTaskManager) -> None:
    run(manager, f"DROP TABLE {manager.tables.tasks_name}")


def drop_meta(manager: SQLTaskManager) -> None:
    run(manager, f"DROP TABLE {manager.tables.meta_name}")


def delete_version(manager: SQLTaskManager) -> None:
    run(manager, manager.statements.delete_version().sql)


def delete_rows(manager: SQLTaskManager) -> None:
    for name in manager.tables.names:
        run(manager, f"DELETE FROM {name}")


def then_refused(manager: TaskManager, new_task: TaskMaker) -> None:
    """Assert that every call raises `SchemaMissingError`, and raises it again."""
    task = new_task(task_key="job")
    calls: list[Callable[[], Any]] = [
        lambda: manager.list_user_tasks(1, 7),
        lambda: manager.get_tasks_by_key_prefix("", 7, limit=1),
        lambda: manager.create(task),
        lambda: manager.import_tasks([task]),
        lambda: manager.update(task.id, progress=0.5),
        lambda: manager.get(task.id),
        manager.page,
        manager.count,
        lambda: manager.prune(0),
        manager.ping,
        manager.diagnose,
    ]
    for call in (*calls, *calls):
        with pytest.raises(SchemaMissingError, match="module-sdk setup"):
            call()


def then_usable(manager: TaskManager, new_task: TaskMaker) -> None:
    task, created = manager.create(new_task(task_key="after"))
    assert created
    manager.update(task.id, status="running", checkpoint={"a": 1})
    assert manager.get_tasks_by_key("after", 7)[0]["id"] == task.id
    manager.update(task.id, status="interrupted")


@pytest.mark.parametrize("empty", [drop_tables, drop_tasks, drop_meta, delete_version, delete_rows])
def test_an_emptied_store_refuses_all_calls_until_setup(
    url: str, opener: Opener, new_task: TaskMaker, empty: Callable[[SQLTaskManager], None]
) -> None:
    # given two managers that have used a store
    manager, second = opener(url), opener(url)
    for each in (manager, second):
        each.create(new_task(task_key="before", arguments={"a": 1}))

    # when it is emptied in part or completely
    empty(manager)
    time.sleep(SCHEMA_CHECK_SECONDS)

    # then all calls are refused, also by a new manager
    third = opener(url)
    for each in (manager, second, third):
        then_refused(each, new_task)

    # and when one manager has set it up, all managers work
    second.setup()
    for each in (manager, second, third):
        then_usable(each, new_task)


@pytest.mark.parametrize("url", STORES[1:], indirect=True)
def test_a_dropped_database_refuses_all_calls_until_it_is_set_up_again(
    url: str, opener: Opener, new_task: TaskMaker
) -> None:
    # given a manager that has used its database
    kind = PostgreSQL if url.startswith("postgresql") else MariaDB
    manager = opener(url)
    manager.create(new_task())

    # when the database is dropped, then all calls are refused, and setup says that there is no database
    plain = url.replace("+pymysql", "").replace("+mysqldb", "")
    kind.drop_database(plain)
    then_refused(manager, new_task)
    with pytest.raises(module_sdk.ConfigurationError, match="the database does not exist"):
        manager.setup()

    # and when another process has created and set up one of that name, the manager uses it
    name = plain.rpartition("/")[2]
    server = plain.rpartition("/")[0] + ("/postgres" if kind is PostgreSQL else "/")
    create = {PostgreSQL: ["CREATE DATABASE {}", name], MariaDB: [f"CREATE DATABASE {name}"]}[kind]
    kind.execute(server, *create)
    then_refused(manager, new_task)
    in_a_child(lambda: opener(url).setup())
    then_usable(manager, new_task)


def remove(path: Path) -> None:
    path.unlink()


def remove_with_companions(path: Path) -> None:
    for each in path.parent.glob(f"{path.name}*"):
        each.unlink()


def replace_by_nothing(path: Path) -> None:
    remove_with_companions(path)
    path.with_suffix(".new").touch()
    path.with_suffix(".new").rename(path)


def remove_folder(path: Path) -> None:
    remove_with_companions(path)
    path.parent.rename(path.parent.with_name("elsewhere"))


@pytest.mark.parametrize("empty", [remove, remove_with_companions, replace_by_nothing, remove_folder])
def test_a_missing_or_empty_file_refuses_all_calls_and_is_not_created(
    tmp_path: Path, opener: Opener, new_task: TaskMaker, empty: Callable[[Path], None]
) -> None:
    # given two managers that have used a file
    path = tmp_path / "folder" / "tasks.db"
    path.parent.mkdir()
    managers = [opener(f"sqlite:///{path}") for _ in range(2)]
    for manager in managers:
        manager.create(new_task())

    # when it is removed or emptied, then all calls are refused, and no file is created or written
    empty(path)
    size = path.stat().st_size if path.exists() else None
    for manager in (*managers, opener(f"sqlite:///{path}")):
        then_refused(manager, new_task)
    assert size == (path.stat().st_size if path.exists() else None)
    assert not path.with_name("tasks.db-wal").exists() or empty is remove

    # and when setup has run, all managers work
    path.parent.mkdir(exist_ok=True)
    managers[1].setup()
    assert [manager.count() for manager in managers] == [0, 0]
    then_usable(managers[0], new_task)


def test_a_restored_file_is_used_without_setup(path: Path, opener: Opener, new_task: TaskMaker) -> None:
    # given a file that was copied as a backup
    manager = opener()
    task, _ = manager.create(new_task(task_key="job"))
    manager.close()
    content = path.read_bytes()
    manager = opener()
    assert manager.count() == 1

    # when it is removed, and restored after calls were refused
    remove_with_companions(path)
    then_refused(manager, new_task)
    path.write_bytes(content)

    # then its tasks are found, without a setup
    assert [row["id"] for row in manager.get_tasks_by_key("job", 7)] == [task.id]


def test_a_forked_child_does_not_create_a_missing_file(path: Path, opener: Opener, new_task: TaskMaker) -> None:
    manager = opener()
    manager.create(new_task())
    remove_with_companions(path)

    in_a_child(lambda: then_refused(manager, new_task))
    in_a_child(lambda: then_refused(opener(), new_task))

    assert not path.exists()


def test_without_auto_setup_a_store_works_after_setup_until_it_is_emptied(
    path: Path, opener: Opener, new_task: TaskMaker
) -> None:
    # given a manager that may not set up, on a store that was never set up
    manager = opener(auto_setup=False)
    with pytest.raises(SchemaMissingError, match="has no schema"):
        manager.count()

    # when another process sets it up, then it works, until the store is emptied
    in_a_child(lambda: opener().setup())
    assert manager.count() == 0
    remove_with_companions(path)
    then_refused(manager, new_task)


def test_only_a_reset_of_the_facade_creates_a_missing_file(path: Path) -> None:
    # given a facade on a store
    module_sdk.configure(url=f"sqlite:///{path}")
    assert tasks.list_user_tasks(1).error is None
    remove_with_companions(path)

    # when it is configured again, then lookups still report the missing schema: the breaker never opens
    module_sdk.configure(url=f"sqlite:///{path}")
    for _ in range(10):
        answer = tasks.list_user_tasks(1)
        assert list(answer) == []
        assert isinstance(answer.error, SchemaMissingError)
    assert not path.exists()

    # and after `reset` the facade sets up the store, as in a new process
    module_sdk.reset()
    module_sdk.configure(url=f"sqlite:///{path}")
    assert tasks.list_user_tasks(1).error is None
