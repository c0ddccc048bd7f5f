"""What the store requires of a server, and the errors and warnings for a server that does not meet it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
import redis
from module_sdk_redis.errors import RIGHTS
from module_sdk_redis.manager import RedisTaskManager

from devtools.servers.kinds import Valkey
from devtools.servers.tls import RedisOverTLS
from module_sdk import TaskRow
from module_sdk.backends import ConfigurationError, Task
from tests.support.fixtures import running

Opener = Callable[..., RedisTaskManager]
TaskMaker = Callable[..., Task]

MEGABYTES: Final = 4
WEAKENED: Final = ("appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy")
DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "choosing-a-store.md"


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisOverTLS]:
    """A server that accepts only TLS, with users of few rights."""
    with running(RedisOverTLS) as server:
        yield server


@pytest.fixture(scope="module")
def careless() -> Iterator[Valkey]:
    """A cache: it has no append-only file, and evicts any key when its memory is full."""
    memory = ("--maxmemory", f"{MEGABYTES}mb", "--maxmemory-policy", "allkeys-lfu")
    with running(Valkey, "--appendonly", "no", *memory) as server:
        yield server


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("p%40ss", "guess%40"), "refuses the user name or the password"),
        (("/0?", "/99?"), "no such database"),
        (("ssl_ca_certs=", "ssl_cert_reqs=required&ssl_ca_path="), "certificate is not trusted"),
    ],
)
def test_the_error_says_what_is_wrong_with_the_url(
    guarded: RedisOverTLS, opener: Opener, change: tuple[str, str], words: str
) -> None:
    # given a URL with one mistake, when it is used, then the error names the mistake and shows no password
    with pytest.raises(ConfigurationError, match=words) as raised:
        opener(guarded.url.replace(*change)).count()
    assert "guess" not in str(raised.value)


def test_a_database_that_the_server_does_not_have_is_a_setup_fault(opener: Opener, valkey_url: str) -> None:
    with pytest.raises(ConfigurationError, match="no such database"):
        opener(valkey_url.replace("/0", "/9999")).setup()


def test_a_user_who_lacks_a_right_is_told_what_to_run(
    guarded: RedisOverTLS, opener: Opener, new_task: TaskMaker
) -> None:
    # given a user who may only read
    manager = opener(guarded.url_of("reader"))
    with pytest.raises(ConfigurationError, match="run ACL SETUSER") as raised:
        manager.create(new_task())
    # when the statement of the error is run
    (statement,) = re.findall(r"run (ACL SETUSER .*?) \(", str(raised.value))
    with redis.Redis.from_url(guarded.url_of("default")) as client:
        client.execute_command(*statement.replace("<user>", "reader").split())
    # then every call works
    assert manager.create(new_task())[1]
    assert manager.count() == 1
    assert manager.diagnose().facts["appendonly"] == "yes"
    assert manager.capabilities.durable


def test_the_documentation_names_the_rights() -> None:
    assert set(RIGHTS.split()) <= set(re.findall(r"\+[a-z|]+", DOCUMENT.read_text()))


def test_a_user_who_may_not_read_settings_is_warned_of_what_is_unknown(
    guarded: RedisOverTLS, opener: Opener, new_task: TaskMaker
) -> None:
    # given a user who may not read settings
    manager = opener(guarded.url_of("quiet"))
    # when the store is used and diagnosed, then it works, and counts as not durable
    assert manager.create(new_task())[1]
    warnings = manager.diagnose().warnings
    assert not manager.capabilities.durable
    assert all(words in warning for words, warning in zip(("append-only", "maxmemory-policy"), warnings, strict=True))
    assert all("may not ask" in warning for warning in warnings)


def test_diagnose_warns_of_a_cache(careless: Valkey, opener: Opener, caplog: pytest.LogCaptureFixture) -> None:
    # given a server that may lose tasks, when it is opened and diagnosed
    manager = opener(careless.url)
    with caplog.at_level(logging.INFO):
        warnings = manager.diagnose().warnings
    # then it counts as not durable, which is logged as information, and diagnose names each weak setting
    assert not manager.capabilities.durable
    levels = [record.levelno for record in caplog.records if "does not count as durable" in record.getMessage()]
    assert levels == [logging.INFO]
    assert any("appendonly is off" in warning for warning in warnings)
    assert any("maxmemory-policy is 'allkeys-lfu'" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("appendfsync", "everysec", "so does a crash of the server while its disk is busy"),
        ("appendfsync", "no", "half a minute or more"),
        ("no-appendfsync-on-rewrite", "yes", "while the append-only file is rewritten"),
        ("maxmemory-policy", "volatile-lru", "tasks may vanish"),
    ],
)
def test_diagnose_warns_of_each_weak_setting(
    manager: RedisTaskManager, client: redis.Redis, option: str, value: str, words: str
) -> None:
    # given a server with no weak setting
    before = {name: str(client.config_get(name)[name]) for name in WEAKENED}
    client.config_set("appendfsync", "always")
    assert manager.diagnose().warnings == []
    # when one setting is weakened, then the warning names it and its consequence
    client.config_set(option, value)
    (warning,) = manager.diagnose().warnings
    assert option in warning
    assert words in warning
    for name, setting in before.items():
        client.config_set(name, setting)


@pytest.mark.parametrize(("setting", "durable"), [("always", True), ("everysec", False), ("no", False)])
def test_only_a_server_that_waits_for_its_disk_is_durable(
    opener: Opener, client: redis.Redis, setting: str, durable: bool
) -> None:
    # given a server that keeps an append-only file
    before = str(client.config_get("appendfsync")["appendfsync"])
    client.config_set("appendfsync", setting)
    try:
        # when it is opened, then it counts as durable only if it writes to its disk before it acknowledges
        manager = opener()
        assert manager.count() == 0
        assert manager.capabilities.durable is durable
    finally:
        client.config_set("appendfsync", before)


def test_lookups_of_an_evicting_server_return_the_remaining_tasks(
    careless: Valkey, opener: Opener, new_task: TaskMaker
) -> None:
    # given more tasks than fit into the server's memory
    manager = opener(careless.url)
    tasks = [new_task(user_id=number % 10, task_key=f"job.{number}", arguments="x" * 2_000) for number in range(3_000)]
    manager.import_tasks(tasks)
    with redis.Redis.from_url(careless.url) as client:
        assert client.info("stats")["evicted_keys"] > 0
        records = sum(1 for _ in client.scan_iter(f"{manager.layout.records}*"))
    # then lookups return the remaining tasks, complete and in order, and no evicted task
    assert 0 < records < len(tasks)
    by_id = {task.id: task.to_row() for task in tasks}
    lookups = [manager.list_user_tasks(number, 7) for number in range(10)]
    lookups += [
        manager.get_tasks_by_key_prefix(prefix, 7, limit=limit) for prefix in ("", "job.1") for limit in (5, None)
    ]
    for rows in lookups:
        assert (rows.error, rows.skipped) == (None, 0)
        assert list(rows) == sorted((by_id[row["id"]] for row in rows), key=moment, reverse=True)
    # and new tasks can be created
    assert manager.create(new_task(user_id="new", task_key="job.new"))[1]


def moment(row: TaskRow) -> tuple[object, object]:
    return row["created_at"], row["id"]


def test_the_end_of_a_task_does_not_free_a_key_that_another_task_has_taken(
    manager: RedisTaskManager, client: redis.Redis, new_task: TaskMaker
) -> None:
    # given an active task whose entry was evicted, and a second task that has taken its key since
    first, second = new_task(task_key="job"), new_task(task_key="job")
    manager.create(first)
    client.delete(f"{manager.layout.prefix}a:1:7:job")
    assert manager.create(second)[1]
    # when the first ends
    manager.update(first.id, status="failed")
    # then the second still has the key
    assert manager.create(new_task(task_key="job"))[0].id == second.id
