"""Global settings of a server do not change an answer: every store answers as the memory store does."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final, LiteralString

import psycopg
import pymongo
import pytest
import redis
from psycopg import sql

from devtools.servers.kinds import MariaDB, MongoDB, PostgreSQL, Valkey
from module_sdk import Task, TaskManager
from module_sdk.backends import ROW_FIELDS
from module_sdk.domain.rows import LookupResult
from tests.support.fixtures import running

Opened = Callable[..., TaskManager]

PASSWORD: Final = "plain"
LONG: Final = "x" * 1_023
"""One byte shorter than the longest key."""
ORGANIZATION: Final = 7

MARIADB: Final = {
    "max_sort_length": "8",
    "sql_select_limit": "3",
    "max_join_size": "1",
    "sql_safe_updates": "1",
    "completion_type": "'CHAIN'",
    "unique_checks": "0",
    "autocommit": "0",
    "tx_read_only": "1",
    "tx_isolation": "'READ-UNCOMMITTED'",
    "sql_mode": "'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,ORACLE'",
    "init_connect": "'SET NAMES gbk, autocommit = 0, sql_select_limit = 2'",
    "old_mode": "'UTF8_IS_UTF8MB3,NO_PROGRESS_INFO,ZERO_DATE_TIME_CAST'",
    "character_set_server": "'utf16'",
    "group_concat_max_len": "4",
    "optimizer_switch": "'index_merge=off,derived_merge=off,mrr=on'",
    "default_storage_engine": "'MyISAM'",
    "time_zone": "'+13:00'",
    "sort_buffer_size": "1024",
    "tmp_memory_table_size": "1024",
    "sql_auto_is_null": "1",
    "div_precision_increment": "0",
    "query_cache_type": "1",
    "eq_range_index_dive_limit": "1",
    "in_predicate_conversion_threshold": "2",
}
POSTGRESQL: Final[dict[str, LiteralString]] = {
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "default_transaction_isolation": "serializable",
    "row_security": "off",
    "client_encoding": "latin1",
    "DateStyle": "SQL, DMY",
    "bytea_output": "escape",
    "enable_indexscan": "off",
    "enable_sort": "off",
    "plan_cache_mode": "force_custom_plan",
    "work_mem": "64kB",
    "quote_all_identifiers": "on",
    "session_replication_role": "replica",
}
VALKEY: Final = {
    "zset-max-listpack-entries": "0",
    "hash-max-listpack-entries": "0",
    "zset-max-listpack-value": "0",
    "maxmemory-policy": "volatile-ttl",
    "lazyfree-lazy-user-del": "yes",
    "lua-time-limit": "1",
}
MONGODB: Final = {
    "internalQueryPlannerEnableIndexIntersection": False,
    "internalQueryForceClassicEngine": True,
    "internalQueryMaxScansToExplode": 0,
    "internalQueryPlannerMaxIndexedSolutions": 1,
    "internalQueryExecYieldIterations": 1,
    "internalQueryMaxBlockingSortMemoryUsageBytes": 1_024,
    "notablescan": False,
}


def some_tasks() -> list[Task]:
    """Return tasks with texts of the maximum length that differ in the last byte, long floats, and close times."""
    progress = itertools.cycle((0.1, 0.30000000000000004, 2 / 3, 1e-17, 0.0))
    statuses: itertools.cycle[Any] = itertools.cycle(("pending", "completed", "failed", "interrupted"))
    return [
        Task(
            id=str(uuid.UUID(int=(number * 7919) % 101 + 1)),
            module=LONG[:254] + letter,
            label=LONG + letter,
            status=next(statuses),
            progress=next(progress),
            task_key=None if number % 9 == 8 else f"{LONG[:1_021]}{number:02}{letter}",
            user_id=LONG[:254] + letter,
            organization_id=ORGANIZATION,
            created_at=1_700_000_000_000_000 + number % 5,
            updated_at=1_700_000_000_000_000 + number % 5 + number % 3,
        )
        for number, letter in zip(range(60), itertools.cycle("zbYa\\'\"%"), strict=False)
    ]


def answers(manager: TaskManager) -> Iterator[tuple[str, Any]]:
    """Yield each question with its answer: first writes, then reads of every kind."""
    tasks = some_tasks()
    yield "import", manager.import_tasks(tasks)
    yield "create again", manager.create(tasks[0])
    row = manager.update(tasks[4].id, status="running", progress=1 / 3, checkpoint={"é'\\": [0.1, None]})
    yield "update", row and row["progress"]
    task = manager.get(tasks[4].id)
    yield "get", task and (task.progress, task.checkpoint)
    yield "count", manager.count()
    yield "count by part of a label", manager.count(filters={"label__contains": "\\"})
    yield "count of many", manager.count(filters={"id": [task.id for task in tasks]})
    yield "prune", manager.prune(0, user_id="nobody")
    for field, direction in itertools.product(set(ROW_FIELDS) - {"updated_at"}, ("asc", "desc")):
        for offset, limit in ((0, 1_000), (0, 7), (13, 11)):
            sort: Any = {"field": field, "direction": direction}
            yield f"page {offset}, {limit} by {sort}", shown(manager.page(sort=sort, offset=offset, limit=limit))
    for maximum in (None, 1, 5, 1_000):
        yield "all keys", shown(manager.get_tasks_by_key_prefix("", ORGANIZATION, limit=maximum))
        yield "a prefix", shown(manager.get_tasks_by_key_prefix(LONG[:1_000], ORGANIZATION, limit=maximum))
        for task in tasks:
            yield "a user", shown(manager.list_user_tasks(task.user_id, ORGANIZATION, limit=maximum))
    for task in tasks:
        yield "a key", shown(manager.get_tasks_by_key(task.task_key or "none", ORGANIZATION))


def then_answers_like_memory(manager: TaskManager, memory: TaskManager) -> None:
    """Assert that both managers return the same answers."""
    for (question, expected), (_, found) in zip(answers(memory), answers(manager), strict=True):
        assert found == expected, question


def shown(rows: LookupResult) -> list[dict[str, Any]]:
    """Return the rows without the time of the last change, which each store sets itself."""
    return [{**row, "updated_at": None} for row in rows]


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDB]:
    with running(MariaDB) as server:
        server.execute(server.url, f"CREATE USER plain@'%' IDENTIFIED BY '{PASSWORD}'")
        yield server


@pytest.mark.parametrize("driver", ["pymysql", "mysqldb"])
@pytest.mark.parametrize("name", MARIADB)
def test_no_setting_of_mariadb_changes_an_answer(
    mariadb: MariaDB, opened: Opened, namespace: str, name: str, driver: str
) -> None:
    if driver == "mysqldb":
        pytest.importorskip("MySQLdb")
    # given a user without administrative privileges, since the server runs `init_connect` for no other user
    database = mariadb.url.rpartition("/")[2]
    mariadb.execute(mariadb.url, f"GRANT ALL ON {database}.* TO plain@'%'")
    mariadb.execute(mariadb.url, f"SET GLOBAL {name} = {MARIADB[name]}")
    try:
        url = f"mariadb+{driver}://plain:{PASSWORD}@127.0.0.1:{mariadb.port}/{database}"
        manager = opened(url, namespace=namespace)
        then_answers_like_memory(manager, opened("memory://"))
        # and another connection sees a write after an update, although completion_type makes COMMIT begin a transaction
        other = opened(url, namespace=namespace)
        manager.update(some_tasks()[8].id, label="changed")
        manager.create(Task.new(user_id=1, module="tests"))
        assert other.count() == len(some_tasks()) + 1
    finally:
        mariadb.execute(mariadb.url, f"SET GLOBAL {name} = DEFAULT")


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    with running(PostgreSQL) as server:
        yield server


@pytest.mark.parametrize("name", POSTGRESQL)
def test_no_setting_of_postgresql_changes_an_answer(
    postgresql: PostgreSQL, opened: Opened, namespace: str, name: str
) -> None:
    database = postgresql.url.rpartition("/")[2]
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        connection.execute(sql.SQL(f"ALTER DATABASE {database} SET {name} = '{POSTGRESQL[name]}'"))
        try:
            then_answers_like_memory(opened(postgresql.url, namespace=namespace), opened("memory://"))
        finally:
            connection.execute(sql.SQL(f"ALTER DATABASE {database} RESET {name}"))


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    with running(Valkey) as server:
        yield server


@pytest.mark.parametrize("name", VALKEY)
def test_no_setting_of_valkey_changes_an_answer(valkey: Valkey, opened: Opened, namespace: str, name: str) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.config_set(name, VALKEY[name])
    then_answers_like_memory(opened(valkey.url, namespace=namespace), opened("memory://"))


@pytest.fixture(scope="module")
def mongodb() -> Iterator[MongoDB]:
    with running(MongoDB) as server:
        yield server


@pytest.mark.parametrize("name", MONGODB)
def test_no_setting_of_mongodb_changes_an_answer(mongodb: MongoDB, opened: Opened, namespace: str, name: str) -> None:
    with pymongo.MongoClient[dict[str, Any]](mongodb.url) as client:
        before = client.admin.command({"getParameter": 1, name: 1})[name]
        client.admin.command({"setParameter": 1, name: MONGODB[name]})
        try:
            then_answers_like_memory(opened(mongodb.url, namespace=namespace), opened("memory://"))
        finally:
            client.admin.command({"setParameter": 1, name: before})
