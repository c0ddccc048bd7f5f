"""The commands that lookups run on the server, as the server counts them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
import redis
from module_sdk_redis.index_reads import CHUNK, MEMBERS_CHUNK
from module_sdk_redis.manager import RedisTaskManager

from module_sdk.backends import Task

TaskMaker = Callable[..., Task]
Lookup = Callable[[RedisTaskManager], Any]

WITH_PREFIX: Final = 1_500
OTHERS: Final = 6_000
FORBIDDEN: Final = {"keys", "scan", "sort", "zscan", "hscan"}

SMALL: Final[dict[str, Lookup]] = {
    "user": lambda manager: manager.list_user_tasks("one", 7),
    "user, limited": lambda manager: manager.list_user_tasks("many", 7, limit=10),
    "unknown user": lambda manager: manager.list_user_tasks("nobody", 7),
    "key": lambda manager: manager.get_tasks_by_key("other.17", 7),
    "prefix": lambda manager: manager.get_tasks_by_key_prefix("other.17", 7),
    "prefix, limited": lambda manager: manager.get_tasks_by_key_prefix("shared.", 7, limit=10),
}


@pytest.fixture
def filled(manager: RedisTaskManager, new_task: TaskMaker) -> RedisTaskManager:
    """A manager whose store has many tasks of one user and one prefix, and more of others."""
    manager.import_tasks(new_task(user_id="many", task_key=f"shared.{number}") for number in range(WITH_PREFIX))
    manager.import_tasks(new_task(user_id="rest", task_key=f"other.{number}") for number in range(OTHERS))
    manager.create(new_task(user_id="one"))
    for lookup in SMALL.values():
        lookup(manager)
    return manager


def counted(client: redis.Redis, work: Callable[[], object]) -> dict[str, int]:
    """Return how often the server ran each command during `work`, including those in scripts.

    ROLE is left out, because it accompanies a call twice a second.
    """
    client.config_resetstat()
    work()
    statistics = client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in statistics.items()}
    return {name: count for name, count in calls.items() if not name.startswith(("config", "info", "role"))}


@pytest.mark.parametrize("name", SMALL)
def test_a_lookup_takes_one_or_two_round_trips(filled: RedisTaskManager, client: redis.Redis, name: str) -> None:
    # when a lookup runs on a store with thousands of tasks
    calls = counted(client, lambda: SMALL[name](filled))
    # then it runs one script that reads the index and the records, or one command for each
    assert set(calls) <= {"evalsha", "zrange", "mget"}
    assert (calls.get("evalsha", 0), calls["zrange"]) in ((1, 1), (0, 1))
    assert calls.get("mget", 0) <= 1


def test_a_large_answer_takes_one_round_trip_per_thousand_rows(filled: RedisTaskManager, client: redis.Redis) -> None:
    calls = counted(client, lambda: filled.list_user_tasks("rest", 7))
    assert calls["evalsha"] == OTHERS // CHUNK + 1
    calls = counted(client, lambda: filled.get_tasks_by_key_prefix("", 7, limit=1))
    assert calls == {"zrange": (OTHERS + WITH_PREFIX) // MEMBERS_CHUNK + 1, "mget": 1}


def test_no_read_or_write_scans(filled: RedisTaskManager, client: redis.Redis, new_task: TaskMaker) -> None:
    def everything() -> None:
        task = new_task(task_key="x", arguments=[1])
        filled.create(task)
        filled.update(task.id, status="running", checkpoint={})
        filled.update(task.id, status="completed")
        filled.get(task.id)
        filled.page(filters={"status": "completed"}, sort="label", offset=1)
        filled.count(filters={"label__contains": "x"})
        filled.prune(0)
        filled.diagnose()
        filled.ping()

    calls = counted(client, everything)
    assert FORBIDDEN & {name.partition("|")[0] for name in calls} == set()
    assert "hgetall" in calls


def test_a_lookup_reads_no_payload(filled: RedisTaskManager, client: redis.Redis, new_task: TaskMaker) -> None:
    # given a task with a large payload
    task = new_task(user_id="heavy", task_key="heavy", arguments="x" * 100_000)
    filled.create(task)
    before = client.info("stats")["total_net_output_bytes"]
    # when it is looked up
    assert len(filled.list_user_tasks("heavy", 7)) == 1
    after = client.info("stats")["total_net_output_bytes"]
    # then the server did not send the payload
    assert after - before < 20_000


@pytest.mark.parametrize("limit", [1, 10])
@pytest.mark.parametrize(("prefix", "entries"), [("rare.", 10), ("other.", OTHERS)])
def test_a_limited_prefix_lookup_examines_only_the_tasks_with_the_prefix(
    filled: RedisTaskManager, new_task: TaskMaker, prefix: str, entries: int, limit: int
) -> None:
    filled.import_tasks(new_task(task_key=f"rare.{number}") for number in range(10))
    explanation = filled.explain("get_tasks_by_key_prefix", prefix, 7, limit=limit)
    assert explanation.rows_examined == entries + limit
