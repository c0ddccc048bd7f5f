"""The same 20,000 tasks on every store: the three lookups return the same bytes."""

from __future__ import annotations

import contextlib
import json
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.backends import Task
from module_sdk.domain.statuses import FINAL

TASKS: Final = 20_000
ARGUMENTS: Final = 500
START: Final = 1_700_000_000_000_000
ORGANIZATIONS: Final = (None, 0, 3, "3 ", "a", "A", "ä", "a:b", "*", 2**63)
USERS: Final = (7, "007", "7 ", "auth0|x", "AUTH0|X", "ü", "u%", "u_", "{x}", -1)
STEMS: Final = (
    "system.engine.install.openai.",
    "system.engine.install.OpenAI.",
    "system_engine",
    "système",
    "systeme\u0301",
    "a:b",
    "a",
    "b:c",
    "100%",
    "100_",
    "[a-z]*",
    "\\",
    "1e3",
    "1000",
    "\uffff",
    "\U0001f600",
    " ",
    "\t",
)
STORES: Final = ("sqlite", "postgresql", "mariadb", "valkey", "mongodb")


def the_tasks() -> Iterator[Task]:
    """Yield tasks with keys, users and organizations that a store might confuse, and many equal times."""
    chance = random.Random(1993)
    for number in range(TASKS):
        key = chance.choice(STEMS) + chance.choice(("", ".", "x", str(number % 50)))
        created_at = START + number - number % 4 + chance.choice((0, 1_000, 1_000_000))
        yield Task(
            id=str(uuid.UUID(int=chance.getrandbits(128))),
            module="same",
            label=chance.choice(("Install", "安装", "تثبيت", "🚀")),
            # All finished: an organization can have only one active task per key.
            status=chance.choice(FINAL),
            progress=chance.random(),
            task_key=chance.choice((key, key, key, None)),
            user_id=chance.choice(USERS),
            organization_id=chance.choice(ORGANIZATIONS),
            created_at=created_at,
            updated_at=created_at + number,
            checkpoint={"number": number},
        )


def answers() -> list[bytes]:
    """Return the answers of the facade to 500 random questions of each kind."""
    chance = random.Random(2026)
    answered = []
    for _ in range(ARGUMENTS):
        organization, limit = chance.choice(ORGANIZATIONS), chance.choice((None, 1, 10))
        stem = chance.choice(STEMS)
        key = stem + chance.choice(("", ".", "x", str(chance.randrange(50))))
        prefix = key[: chance.randrange(len(key) + 1)]
        questions: tuple[tuple[Any, Any], ...] = (
            (tasks.list_user_tasks, chance.choice(USERS)),
            (tasks.get_tasks_by_key, key),
            (tasks.get_tasks_by_key_prefix, prefix),
        )
        for ask, argument in questions:
            rows = ask(argument, organization, limit=limit)
            assert rows.error is None, rows.error
            answered.append(json.dumps(rows, ensure_ascii=False).encode())
    return answered


@contextlib.contextmanager
def filled(url: str) -> Iterator[None]:
    """Configure the facade with a store that contains the tasks, and prune them afterwards."""
    manager = module_sdk.open_manager(url, namespace="same")
    assert manager.import_tasks(the_tasks()) == TASKS
    module_sdk.configure(manager=manager, lookup_timeout_seconds=30)
    yield
    module_sdk.reset()
    assert manager.prune(0) == TASKS
    manager.close()


@pytest.fixture(scope="module")
def expected() -> list[bytes]:
    """Return the answers of the memory store."""
    with filled("memory://"):
        return answers()


@pytest.mark.parametrize("store", STORES)
def test_the_lookups_return_the_same_bytes_as_on_the_memory_store(
    store: str, expected: list[bytes], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sqlite = f"sqlite:///{tmp_path / 'tasks.db'}"
    url = sqlite if store == "sqlite" else request.getfixturevalue(f"{store}_url")

    with filled(url):
        found = answers()

    differing = [number for number, (here, there) in enumerate(zip(expected, found, strict=True)) if here != there]
    assert differing == []
    assert sum(answer != b"[]" for answer in expected) > len(expected) / 2
