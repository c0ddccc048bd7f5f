"""The data set: any number of tasks, the same for every store and run.

Each of four organizations has the same users, keys and prefixes of keys, in groups of 1, 10, 100 and 1,000 tasks as far
as the size allows. The members of a group are created at random times among all others. A lookup that finds ten tasks
therefore finds ten in a store of any size, while the organization grows with the store.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from module_sdk.domain.task import Task

ORGANIZATIONS: Final = (1, 2, 3, 4)
GROUP_SIZES: Final = (1, 10, 100, 1_000)
# Fractions of all tasks; the others are groups of one.
SHARES: Final = {1_000: 0.2, 100: 0.2, 10: 0.4}
MINIMUM_SINGLES: Final = 0.1

START_MICROSECONDS: Final = 1_767_225_600_000_000  # 2026-01-01
SPAN_MICROSECONDS: Final = 30 * 86_400_000_000
MAXIMUM_KNOWN_ACTIVE: Final = 20_000
CHECKPOINT: Final = {"page": 17, "cursor": "x" * 380}
RESULT: Final = {"rows": 1_200, "location": "y" * 170}

Lookup = Literal["list_user_tasks", "get_tasks_by_key", "get_tasks_by_key_prefix"]
LOOKUPS: Final[tuple[Lookup, ...]] = ("list_user_tasks", "get_tasks_by_key", "get_tasks_by_key_prefix")

Argument = int | str


class Group(NamedTuple):
    size: int
    number: int

    @property
    def user_id(self) -> int:
        return self.size * 1_000_000 + self.number

    @property
    def task_key(self) -> str:
        return f"reports.export.{self.size}.{self.number}"

    @property
    def prefix(self) -> str:
        return f"engine.install.{self.size}.{self.number}."


class Active(NamedTuple):
    """A running task that has a key."""

    task_id: str
    task_key: str
    organization_id: int


class Dataset:
    """`size` tasks; the size must be a multiple of eight."""

    def __init__(self, size: int, seed: int = 20_260_101) -> None:
        self.size = size
        self.seed = seed
        each = size // len(ORGANIZATIONS)
        self.users = groups(each)
        # Half of the tasks share keys. In the other half each has its own key, and groups of keys share a prefix.
        self.keys = groups(each // 2)
        self.prefixes = groups(each - each // 2)
        self.active: list[Active] = []

    def arguments(self, lookup: Lookup, found: int) -> list[Argument]:
        """Return every argument for which the lookup finds that many tasks. Empty if the data set has no such group."""
        if lookup == "list_user_tasks":
            return [group.user_id for group in self.users if group.size == found]
        if lookup == "get_tasks_by_key":
            return [group.task_key for group in self.keys if group.size == found]
        return [group.prefix for group in self.prefixes if group.size == found]

    def tasks(self) -> Iterator[Task]:
        """Yield the tasks in the order of their creation. Fills `active`."""
        rng = random.Random(self.seed)
        self.active.clear()
        users, keys = {}, {}
        for organization in ORGANIZATIONS:
            users[organization] = memberships(self.users)
            keys[organization] = [(group, False) for group in memberships(self.keys)]
            keys[organization] += [(group, True) for group in memberships(self.prefixes)]
            rng.shuffle(users[organization])
            rng.shuffle(keys[organization])
        turns = [organization for organization in ORGANIZATIONS for _ in users[organization]]
        rng.shuffle(turns)
        step = SPAN_MICROSECONDS // self.size
        for number, organization in enumerate(turns):
            created_at = START_MICROSECONDS + number * step + rng.randrange(step)
            group, has_own_key = keys[organization].pop()
            task_key = f"{group.prefix}{rng.getrandbits(40):010x}" if has_own_key else group.task_key
            is_active = has_own_key and rng.random() < 0.25
            task_id = id_of(created_at, rng)
            if is_active and len(self.active) < MAXIMUM_KNOWN_ACTIVE:
                self.active.append(Active(task_id, task_key, organization))
            yield Task(
                id=task_id,
                module="reports" if has_own_key else "engine",
                label=f"Export number {number} of the quarterly report",
                status="running" if is_active else "completed",
                progress=0.5 if is_active else 1.0,
                task_key=task_key,
                user_id=users[organization].pop().user_id,
                organization_id=organization,
                created_at=created_at,
                updated_at=created_at + rng.randrange(1, 3_600_000_000),
                started_at=created_at + 1,
                finished_at=None if is_active else created_at + 2,
                checkpoint=CHECKPOINT,
                result=None if is_active else RESULT,
            )


def groups(total: int) -> list[Group]:
    """Return groups of all sizes with `total` members altogether."""
    result: list[Group] = []
    remaining = total - max(1, int(total * MINIMUM_SINGLES))
    for size, share in SHARES.items():
        count = min(max(1, int(total * share / size)), remaining // size)
        result += [Group(size, number) for number in range(count)]
        remaining -= count * size
    singles = total - sum(group.size for group in result)
    return result + [Group(1, number) for number in range(singles)]


def memberships(grouped: list[Group]) -> list[Group]:
    return [group for group in grouped for _ in range(group.size)]


def id_of(created_at: int, rng: random.Random) -> str:
    """Return a UUIDv7 of that time, in microseconds."""
    time, low, high = created_at // 1_000, rng.getrandbits(12), rng.getrandbits(62) | 1 << 63
    digits = f"{time:012x}7{low:03x}{high:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


CHECKPOINT_TEXT: Final = json.dumps(CHECKPOINT, separators=(",", ":"))
RESULT_TEXT: Final = json.dumps(RESULT, separators=(",", ":"))
