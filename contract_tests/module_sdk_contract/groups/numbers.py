"""How many: complete answers, pages, counts and prunes just below, at and above where windows and buffers end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import pytest

from module_sdk_contract.data.reference import Fields, recorded, row_of
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store, then_none
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.violations import Violation, compare, demand, raised

PATIENCE_SECONDS: Final = 60
"""Of each call: the question is whether an answer is whole, not whether it is fast."""
BUFFER: Final = 8_192
WINDOW: Final = 10_000
WORD: Final = 65_536
SECOND: Final = 1_000_000
SCOPE: Final = 1
KEY: Final = "job"
AGE_SECONDS: Final = 1_000_000
"""The first task of `Many` was changed so long ago, and each later one a second less long ago."""
OTHERS: Final = 5
COMMON: Final = {"organization_id": SCOPE, "status": "completed"}
MANY_ACTIVE: Final = 1_100
LOOKUPS: Final = (
    ("USER-05", "list_user_tasks", 1),
    ("KEY-05", "get_tasks_by_key", KEY),
    ("PREFIX-10", "get_tasks_by_key_prefix", KEY),
)
# Limits of each lookup: within a batch of a store, between two, and around the numbers above.
LIMITS: Final = ((1_000, BUFFER), (2_501, WINDOW), (7, BUFFER - 1, BUFFER + 1))


class Many:
    """The tasks of one user and one key by number, in the order in which they were last changed.

    Beside them lie a few newer ones of another user and a longer key. The reference would take long over so many.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = store.clock()
        self.violations: list[Violation | None] = []
        self.ids: list[str] = []
        self.first = 0
        """The number of the oldest that is left."""
        self.newest_first: list[int] = []
        others = [store.fields(task_key=f"{KEY}:{number}", user_id=2, **COMMON) for number in range(OTHERS)]
        self.other_ids = sorted((task["id"] for task in others), reverse=True)
        self.put_in(others)

    def size(self) -> int:
        return len(self.ids) - self.first

    def created_at(self, number: int) -> int:
        """Times that tie, for ids that rise in no order."""
        return self.now - 2 * AGE_SECONDS * SECOND + number % 613

    def fields(self, number: int) -> Fields:
        updated_at = self.now - (AGE_SECONDS - number) * SECOND
        fields = self.store.fields(task_key=KEY, user_id=1, created_at=self.created_at(number), **COMMON)
        return fields | {"updated_at": updated_at}

    def grow(self, size: int) -> None:
        """Import more, so that there are so many."""
        numbers = range(len(self.ids), self.first + size)

        def new() -> Iterator[Fields]:
            for number in numbers:
                fields = self.fields(number)
                self.ids.append(fields["id"])
                yield fields

        self.put_in(new(), len(numbers))
        self.newest_first = sorted(
            range(self.first, len(self.ids)),
            key=lambda number: (self.created_at(number), self.ids[number]),
            reverse=True,
        )

    def put_in(self, tasks: Iterable[Fields], expected: int = OTHERS) -> None:
        written = self.store.manager.import_tasks(map(task_of, tasks), timeout_seconds=PATIENCE_SECONDS)
        demand("USER-05", f"import_tasks of {expected:,} tasks", expected, written)

    # --- Questions --------------------------------------------------------------------------------------------------

    def ask(self, clause_id: str, asked: str, expected: Any, name: str, *args: Any, **kwargs: Any) -> None:
        """Call the manager; keep a violation of the clause unless it returns this number, or rows of these ids."""
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
        asked = f"the ids of {operation}({argument!r}, {SCOPE}, limit={limit})"
        self.ask(clause_id, asked, expected, operation, argument, SCOPE, limit=limit)

    def page(self, clause_id: str, offset: int, limit: int, sort: str | None = None) -> None:
        """A page by the last change, or by the time of creation."""
        ordered = range(self.first, len(self.ids)) if sort is None else self.newest_first
        expected = [self.ids[number] for number in ordered[::-1][offset : offset + limit]]
        place: dict[str, Any] = {"filters": {"user_id": 1}, "sort": sort, "offset": offset, "limit": limit}
        self.ask(clause_id, f"the ids of page({place})", expected, "page", **place)

    def counts(self) -> None:
        """Of everything, and of what a filter chooses."""
        for filters, others in ((None, OTHERS), ({"task_key": KEY}, 0)):
            self.ask("MODEL-07", f"count({filters})", self.size() + others, "count", filters=filters)

    def whole_answers(self) -> None:
        """Every complete answer, every count, and the end of the pages."""
        for lookup in LOOKUPS:
            self.look_up(*lookup)
        self.counts()
        self.page("MODEL-08", self.size() - 1, 2)
        then_none(self.violations)

    def then_rows_are_whole(self) -> None:
        """Some rows from all over a long answer, in every field."""
        rows = self.store.manager.list_user_tasks(1, SCOPE, timeout_seconds=PATIENCE_SECONDS)
        for number, row in list(zip(self.newest_first, rows, strict=True))[::97]:
            expected = row_of(recorded(self.fields(number) | {"id": self.ids[number]}))
            demand("USER-05", f"a row of {self.size():,}", expected, row)

    # --- Changes ----------------------------------------------------------------------------------------------------

    def shrink(self, size: int) -> None:
        """Prune the oldest, so that so many are left."""
        gone = self.size() - size
        # Up to the middle between the last that goes and the first that stays.
        self.ask(
            "KEEP-01", f"prune of {gone:,}", gone, "prune", AGE_SECONDS - self.first - gone + 0.5, batch_size=WINDOW
        )
        then_none(self.violations)
        self.first += gone
        self.newest_first = [number for number in self.newest_first if number >= self.first]


class NumberClauses:
    @pytest.mark.timeout(300)
    @clause("USER-05", "KEY-05", "PREFIX-10", "ORDER-05", "ORDER-09", "MODEL-07", "MODEL-08", "KEEP-01")
    @pytest.mark.parametrize("most", [pytest.param(WINDOW, marks=tier("core")), pytest.param(WORD, marks=tier("deep"))])
    def test_answers_are_complete_around_every_border(self, store: Store, most: int) -> None:
        many = Many(store)
        many.grow(WINDOW + 1)
        many.whole_answers()

        many.then_rows_are_whole()
        for lookup, limits in zip(LOOKUPS, LIMITS, strict=True):
            for limit in limits:
                many.look_up("ORDER-05", *lookup[1:], limit)
        for offset in (0, BUFFER - 2, WINDOW - 500):
            many.page("ORDER-09", offset, 1_000)
        many.page("ORDER-09", WINDOW - 700, 999, "created_at")
        then_none(many.violations)

        for border in (WINDOW, BUFFER):
            many.shrink(border)
            many.whole_answers()
            many.shrink(border - 1)
            many.counts()
            many.look_up(*LOOKUPS[0])
            then_none(many.violations)

        # In memory the core tier can pay for it.
        if most > WINDOW or not store.outlives_its_process():
            many.grow(WORD + 1)
            many.counts()
            many.shrink(WORD)
            many.whole_answers()
            many.shrink(WORD - 1)
            many.counts()
            then_none(many.violations)

    @tier("core")
    @clause("LIFE-11")
    def test_as_many_as_are_named_are_interrupted(self, store: Store) -> None:
        tasks = store.given_imported(
            {"status": ("running", "pending", "waiting_confirmation")[number % 3]} for number in range(MANY_ACTIVE)
        )
        store.clock.advance(1)

        ids = [task["id"] for task in tasks]
        changed = store.manager.interrupt_all(ids, "shutdown", timeout_seconds=PATIENCE_SECONDS)

        demand("LIFE-11", f"interrupt_all of {MANY_ACTIVE:,} tasks", MANY_ACTIVE, changed)
        found = store.manager.count(filters={"status": "interrupted"}, timeout_seconds=PATIENCE_SECONDS)
        demand("LIFE-11", "how many of them are interrupted", MANY_ACTIVE, found)
