"""Names of Redis keys, entries of indexes, and records and scripts that the server loses."""

from __future__ import annotations

import datetime
import itertools
import time
from collections.abc import Callable
from typing import Final

import pytest
import redis
from module_sdk_redis.connection import FRESH_SECONDS
from module_sdk_redis.manager import RedisTaskManager

from devtools.servers.process import Server
from module_sdk import TaskFilters
from module_sdk.backends import Task
from module_sdk.domain.timestamps import FIRST, LAST

Opener = Callable[..., RedisTaskManager]
TaskMaker = Callable[..., Task]

# Together these have every order of bytes that UTF-8 allows next to a separator, an escape or the end of a key.
ODD_KEYS: Final = (
    *("\x01", "\x01\x01", "a", "a\x01", "a\x01b", "a\x02", "ab", "a\x7f", "a\x80", "a\xff", "\U0010ffff"),
    *("[a", "(a", "+", "-", "+inf", "*", "a:b", "a::b", "{x}", "}{", "a\\", "'", '"', "1" * 18, "1" * 54),
    *("a\n", "a\r\n", "$1\r\na\r\n"),
    *("x" * length for length in (15, 16, 17, 31, 32, 33, 1_023, 1_024)),
)
ODD_NAMES: Final = ("a", "a:", ":a", "a:b", "1:a", "2:a:", "::", "{a}", "}", "u", "all", "*", "\x01", "é", "e\u0301")


def test_scripts_are_sent_again_when_the_server_has_lost_them(
    manager: RedisTaskManager, client: redis.Redis, new_task: TaskMaker
) -> None:
    # given a server that forgets its scripts before every call
    first, second = new_task(task_key="job"), new_task(task_key="job")
    calls: list[tuple[Callable[[], object], object]] = [
        (lambda: manager.create(first)[1], True),
        (lambda: manager.create(second)[0].id, first.id),
        (lambda: manager.import_tasks([second]) if manager.get(first.id) is None else 0, 0),
        (lambda: len(manager.list_user_tasks(1, 7)), 1),
        (lambda: manager.update(first.id, status="interrupted")["status"], "interrupted"),  # type: ignore[index]
        (lambda: manager.import_tasks([second]), 1),
        (lambda: manager.prune(0), 1),
        (lambda: len(manager.get_tasks_by_key("job", 7)), 1),
    ]
    for call, expected in calls:
        client.script_flush()
        # then every call takes effect once
        assert call() == expected


def test_no_call_fails_after_a_server_restart(
    valkey_server: Server, manager: RedisTaskManager, new_task: TaskMaker
) -> None:
    # given an idle connection to a server
    task = new_task(task_key="job")
    manager.create(task)
    # when the server is restarted, which loses its scripts and the connection
    valkey_server.restart()
    # A connection is polled only once it has been idle for a while, and a fast server is back sooner.
    time.sleep(2 * FRESH_SECONDS)
    # then the next write and the next lookup succeed, and the task still exists
    assert manager.update(task.id, progress=0.5) is not None
    valkey_server.restart()
    assert [row["progress"] for row in manager.get_tasks_by_key("job", 7)] == [0.5]


def test_keys_of_any_bytes_are_distinct_and_in_order(manager: RedisTaskManager, new_task: TaskMaker) -> None:
    # given keys that are prefixes of other keys or contain special bytes
    tasks = [new_task(task_key=key, now=1_000 + number) for number, key in enumerate(ODD_KEYS)]
    assert manager.import_tasks(tasks) == len(ODD_KEYS)
    newest_first = sorted(tasks, key=lambda task: task.created_at, reverse=True)
    # then each key finds its own task, and each prefix of it finds all tasks with that prefix
    for key in ODD_KEYS:
        assert [row["task_key"] for row in manager.get_tasks_by_key(key, 7)] == [key]
        for end in {1, 2, len(key) - 1, len(key)} - {0}:
            matching = [task.task_key for task in newest_first if (task.task_key or "").startswith(key[:end])]
            assert [row["task_key"] for row in manager.get_tasks_by_key_prefix(key[:end], 7)] == matching
            assert [row["task_key"] for row in manager.get_tasks_by_key_prefix(key[:end], 7, limit=2)] == matching[:2]


def test_names_with_separators_do_not_collide(manager: RedisTaskManager, new_task: TaskMaker) -> None:
    # given all pairs of names that contain separators, lengths and parts of the store's own key names
    pairs = list(itertools.product((*ODD_NAMES, None), ODD_NAMES))
    for organization, name in pairs:
        assert manager.create(new_task(organization_id=organization, user_id=name, task_key=name))[1]
    # then each pair finds only its own task
    for organization, name in pairs:
        for rows in (manager.list_user_tasks(name, organization), manager.get_tasks_by_key(name, organization)):
            assert [(row["organization_id"], row["user_id"]) for row in rows] == [(organization, name)]
        assert manager.count(organization_id=organization) == len(ODD_NAMES)


def test_namespaces_with_a_common_prefix_are_separate(opener: Opener, new_task: TaskMaker, namespace: str) -> None:
    # given three namespaces, the first of which is a prefix of the others
    managers = [opener(namespace=name) for name in (namespace, f"{namespace}0", f"{namespace}_a")]
    task = new_task(task_key="job")
    # then each can have the same task, and pruning one leaves the others alone
    for manager in managers:
        assert manager.create(task) == (task, True)
    managers[0].update(task.id, status="failed")
    assert managers[0].prune(0) == 1
    assert [manager.count() for manager in managers] == [0, 1, 1]
    assert [len(manager.get_tasks_by_key_prefix("", 7)) for manager in managers] == [0, 1, 1]


def test_times_from_year_1_to_9999_are_sorted(manager: RedisTaskManager, new_task: TaskMaker) -> None:
    # given tasks at the first and last times, around 1970, and a microsecond apart where a double has no such precision
    moments = sorted({FIRST, FIRST + 1, -(10**15), -1, 0, 1, 2**53, 2**53 + 1, LAST - 2, LAST - 1, LAST})
    manager.import_tasks(new_task(task_key=f"job.{moment}", now=moment) for moment in (*moments[::2], *moments[1::2]))
    newest_first = [text(moment) for moment in reversed(moments)]
    # then each lookup and page returns them in order
    for rows in (
        manager.list_user_tasks(1, 7),
        manager.get_tasks_by_key_prefix("job", 7),
        manager.get_tasks_by_key_prefix("j", 7, limit=100),
        manager.page(limit=100),
    ):
        assert [row["created_at"] for row in rows] == newest_first
    between: TaskFilters = {"updated_at__gte": text(0), "updated_at__lt": text(2**53 + 1)}
    assert [row["created_at"] for row in manager.page(filters=between)] == [text(2**53), text(1), text(0)]


def text(microseconds: int) -> str:
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (epoch + datetime.timedelta(microseconds=microseconds)).isoformat(timespec="microseconds")


@pytest.mark.parametrize("stored", [999_999_999, 10**15 + 999_999_999, 2**53 + 1, LAST - 1])
def test_an_update_behind_the_stored_time_adds_one_microsecond(
    manager: RedisTaskManager, new_task: TaskMaker, stored: int
) -> None:
    # given a task whose time is ahead of the writer's clock, at a value that needs a carry or exceeds a double
    task = new_task(now=stored)
    manager.clock = lambda: stored - 5
    manager.create(task)
    # then an update sets a time that is one microsecond later
    row = manager.update(task.id, progress=0.5)
    assert row is not None
    assert row["updated_at"] == text(stored + 1)
    assert manager.page()[0] == row


def test_entries_without_a_record_are_skipped(
    manager: RedisTaskManager, client: redis.Redis, new_task: TaskMaker
) -> None:
    # given an evicting server that has removed every second record and its payloads
    tasks = [new_task(task_key=f"job.{number}", arguments=[number]) for number in range(20)]
    manager.import_tasks(tasks)
    kept = [task.id for task in reversed(tasks[::2])]
    for task in tasks[1::2]:
        client.delete(manager.layout.record(task.id), manager.layout.payloads(task.id))
    # then lookups and pages return the remaining tasks, up to the limit
    for limit in (None, 1, 3, 10, 15):
        for rows in (
            manager.list_user_tasks(1, 7, limit=limit),
            manager.get_tasks_by_key_prefix("job.", 7, limit=limit),
        ):
            assert [row["id"] for row in rows] == kept[:limit]
            assert (rows.error, rows.skipped) == (None, 0)
    assert [row["id"] for row in manager.page(limit=5)] == kept[:5]
    assert [row["id"] for row in manager.page(filters={"status": "pending"}, limit=5)] == kept[:5]
    assert manager.get(tasks[1].id) is None
    assert manager.update(tasks[1].id, progress=0.5) is None
    # and the key of a removed task is free for a new task
    successor = new_task(task_key="job.1")
    assert manager.create(successor) == (successor, True)
    # and the remaining tasks can be pruned, while the new one stays
    for task_id in kept:
        manager.update(task_id, status="failed")
    assert manager.prune(0) == len(kept)
    assert [row["id"] for row in manager.list_user_tasks(1, 7)] == [successor.id]


def test_prune_leaves_no_redis_key_behind(manager: RedisTaskManager, client: redis.Redis, new_task: TaskMaker) -> None:
    # given finished tasks with and without an organization, a key and arguments
    tasks = [
        new_task(organization_id=organization, task_key=key, arguments=arguments)
        for organization in (None, 7, "a:b")
        for key in (None, "job", "a:b")
        for arguments in (None, [1])
    ]
    for task in tasks:
        manager.create(task)
        manager.update(task.id, status="failed") if manager.get(task.id) else None
    # when they are pruned in small batches
    assert manager.prune(0, batch_size=4) == len(tasks)
    # then only the schema marker is left
    assert list(client.scan_iter(f"{manager.layout.prefix}*")) == [manager.layout.schema]
