"""Numbers: answers, pages, counts and prunes of sizes just below, at and above usual windows and buffers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import pytest

from module_sdk_contract.data.reference import Fields, recorded, row_of
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store, then_none
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.violations import Violation, compare, demand, raised

PATIENCE_SECONDS: Final = 60
"""The timeout of each call; these tests check whether an answer is whole, not whether it is fast."""
BUFFER_SIZE: Final = 8_192
CHEAP_SECONDS: Final = 5.0
"""A store that imports and reads `WINDOW_SIZE` tasks in less time can pay for `WORD_SIZE` in the core tier."""
WINDOW_SIZE: Final = 10_000
WORD_SIZE: Final = 65_536
SECOND: Final = 1_000_000
ORGANIZATION: Final = 1
KEY: Final = "job"
AGE_SECONDS: Final = 1_000_000
"""How long ago the first task of `ManyTasks` was changed; each later one was changed a second later."""
OTHER_TASKS: Final = 5
COMMON_FIELDS: Final = {"organization_id": ORGANIZATION, "status": "completed"}
MANY_ACTIVE: Final = 1_100
LOOKUPS: Final = (
    ("USER-05", "list_user_tasks", 1),
    ("KEY-05", "get_tasks_by_key", KEY),
    ("PREFIX-10", "get_tasks_by_key_prefix", KEY),
)
# Limits of each lookup: within a batch of a store, between two batches, and around the sizes above.
LIMITS: Final = ((1_000, BUFFER_SIZE), (2_501, WINDOW_SIZE), (7, BUFFER_SIZE - 1, BUFFER_SIZE + 1))


class ManyTasks:
    """The tasks of one user and one key, numbered in the order in which they were last changed.

    The store also contains a few newer tasks of another user with longer keys. The class works out the answers itself,
    because the reference is too slow for so many tasks.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = store.clock()
        self.violations: list[Violation | None] = []
        self.ids: list[str] = []
        self.first = 0
        """The number of the oldest task that is left."""
        self.newest_first: list[int] = []
        others = [store.fields(task_key=f"{KEY}:{number}", user_id=2, **COMMON_FIELDS) for number in range(OTHER_TASKS)]
        self.other_ids = sorted((task["id"] for task in others), reverse=True)
        self.import_all(others)

    def size(self) -> int:
        return len(self.ids) - self.first

    def created_at(self, number: int) -> int:
        """Return a time that many tasks share, so that their ids, which are random, decide the order."""
        return self.now - 2 * AGE_SECONDS * SECOND + number % 613

    def fields(self, number: int) -> Fields:
        updated_at = self.now - (AGE_SECONDS - number) * SECOND
        fields = self.store.fields(task_key=KEY, user_id=1, created_at=self.created_at(number), **COMMON_FIELDS)
        return fields | {"updated_at": updated_at}

    def grow(self, size: int) -> None:
        """Import more tasks until there are `size`."""
        numbers = range(len(self.ids), self.first + size)

        def new() -> Iterator[Fields]:
            for number in numbers:
                fields = self.fields(number)
                self.ids.append(fields["id"])
                yield fields

        self.import_all(new(), len(numbers))
        self.newest_first = sorted(
            range(self.first, len(self.ids)),
            key=lambda number: (self.created_at(number), self.ids[number]),
            reverse=True,
        )

    def import_all(self, tasks: Iterable[Fields], expected: int = OTHER_TASKS) -> None:
        written = self.store.manager.import_tasks(map(task_of, tasks), timeout_seconds=PATIENCE_SECONDS)
        demand("USER-05", f"import_tasks of {expected:,} tasks", expected, written)

    # --- Questions --------------------------------------------------------------------------------------------------

    def ask(self, clause_id: str, asked: str, expected: Any, name: str, *args: Any, **kwargs: Any) -> None:
        """Call the manager, and keep a violation unless it returns this number, or rows with these ids."""
        asked = f"{asked} of {self.size():,}"
        try:
            found = getattr(self.store.manager, name)(*args, **kwargs, timeout_seconds=PATIENCE_SECONDS)
        except Exception as error:
            self.violations.append(raised(clause_id, asked, "an answer", error))
            return
        if isinstance(found, list):
            found = [row["id"] for row in found]
        self.violations.append(compare(clause_id, asked, expected, found))

    def look_up(self, clause_id: str, operation: str, argument: Any, limit: int | None = None) -> None:
        others = self.other_ids if operation == "get_tasks_by_key_prefix" else ()
        expected = [*others, *(self.ids[number] for number in self.newest_first)][:limit]
        asked = f"the ids of {operation}({argument!r}, {ORGANIZATION}, limit={limit})"
        self.ask(clause_id, asked, expected, operation, argument, ORGANIZATION, limit=limit)

    def page(self, clause_id: str, offset: int, limit: int, sort: str | None = None) -> None:
        """Check a page, sorted by last change, or by time of creation if `sort` is set."""
        ordered = range(self.first, len(self.ids)) if sort is None else self.newest_first
        expected = [self.ids[number] for number in ordered[::-1][offset : offset + limit]]
        arguments: dict[str, Any] = {"filters": {"user_id": 1}, "sort": sort, "offset": offset, "limit": limit}
        self.ask(clause_id, f"the ids of page({arguments})", expected, "page", **arguments)

    def counts(self) -> None:
        """Check the count of all tasks, and of those that a filter selects."""
        for filters, others in ((None, OTHER_TASKS), ({"task_key": KEY}, 0)):
            self.ask("MODEL-07", f"count({filters})", self.size() + others, "count", filters=filters)

    def whole_answers(self) -> None:
        """Check every complete answer, every count, and the last page."""
        for lookup in LOOKUPS:
            self.look_up(*lookup)
        self.counts()
        self.page("MODEL-08", self.size() - 1, 2)
        then_none(self.violations)

    def then_rows_are_whole(self) -> None:
        """Demand that every 97th row of a long answer is right in every field."""
        rows = self.store.manager.list_user_tasks(1, ORGANIZATION, timeout_seconds=PATIENCE_SECONDS)
        for number, row in list(zip(self.newest_first, rows, strict=True))[::97]:
            expected = row_of(recorded(self.fields(number) | {"id": self.ids[number]}))
            demand("USER-05", f"a row of {self.size():,}", expected, row)

    # --- Changes ----------------------------------------------------------------------------------------------------

    def shrink(self, size: int) -> None:
        """Prune the oldest tasks until `size` are left."""
        gone = self.size() - size
        # The age is halfway between the last task to remove and the first to keep.
        self.ask(
            "KEEP-01",
            f"prune of {gone:,}",
            gone,
            "prune",
            AGE_SECONDS - self.first - gone + 0.5,
            batch_size=WINDOW_SIZE,
        )
        then_none(self.violations)
        self.first += gone
        self.newest_first = [number for number in self.newest_first if number >= self.first]


class NumberClauses:
    @pytest.mark.timeout(300)
    @clause("USER-05", "KEY-05", "PREFIX-10", "ORDER-05", "ORDER-09", "MODEL-07", "MODEL-08", "KEEP-01")
    @pytest.mark.parametrize(
        "most", [pytest.param(WINDOW_SIZE, marks=tier("core")), pytest.param(WORD_SIZE, marks=tier("deep"))]
    )
    def test_answers_are_complete_around_every_usual_limit(self, store: Store, most: int) -> None:
        many = ManyTasks(store)
        began = time.monotonic()
        many.grow(WINDOW_SIZE + 1)
        many.whole_answers()
        seconds = time.monotonic() - began

        many.then_rows_are_whole()
        for lookup, limits in zip(LOOKUPS, LIMITS, strict=True):
            for limit in limits:
                many.look_up("ORDER-05", *lookup[1:], limit)
        for offset in (0, BUFFER_SIZE - 2, WINDOW_SIZE - 500):
            many.page("ORDER-09", offset, 1_000)
        many.page("ORDER-09", WINDOW_SIZE - 700, 999, "created_at")
        then_none(many.violations)

        for size in (WINDOW_SIZE, BUFFER_SIZE):
            many.shrink(size)
            many.whole_answers()
            many.shrink(size - 1)
            many.counts()
            many.look_up(*LOOKUPS[0])
            then_none(many.violations)

        # A store in memory is fast enough for this in the core tier. An imitation of a server in Python is not.
        if most > WINDOW_SIZE or (not store.outlives_its_process() and seconds < CHEAP_SECONDS):
            many.grow(WORD_SIZE + 1)
            many.counts()
            many.shrink(WORD_SIZE)
            many.whole_answers()
            many.shrink(WORD_SIZE - 1)
            many.counts()
            then_none(many.violations)

    @tier("core")
    @clause("LIFE-11")
    def test_interrupt_all_ends_all_of_many_tasks(self, store: Store) -> None:
        tasks = store.given_imported(
            {"status": ("running", "pending", "waiting_confirmation")[number % 3]} for number in range(MANY_ACTIVE)
        )
        store.clock.advance(1)

        ids = [task["id"] for task in tasks]
        changed = store.manager.interrupt_all(ids, "shutdown", timeout_seconds=PATIENCE_SECONDS)

        demand("LIFE-11", f"interrupt_all of {MANY_ACTIVE:,} tasks", MANY_ACTIVE, changed)
        found = store.manager.count(filters={"status": "interrupted"}, timeout_seconds=PATIENCE_SECONDS)
        demand("LIFE-11", "how many of them are interrupted", MANY_ACTIVE, found)
