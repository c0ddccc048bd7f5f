"""SQLite with indexes that hold the whole row, in reference code, beside the schema that ships."""

from __future__ import annotations

import functools
import random
from typing import Any, Final

from benchmarks.data import LOOKUPS, Active
from benchmarks.lookups import draw
from benchmarks.measure import Case, Variant
from benchmarks.references.rows import NewTask
from benchmarks.references.sqlite import SQLiteReference
from benchmarks.stores import Filled, RunningStore, filled
from benchmarks.writes import new_key

COVERED: Final = "module, label, status, progress, updated_at"
PLAIN, COVERING = "plain index", "covering index"


def with_covering_indexes(place: RunningStore, namespace: str) -> None:
    """Replace the two indexes of the lookups by ones of the same name that hold the other fields of a row too."""
    reference = SQLiteReference(place.url, namespace)
    table = f"{namespace}__tasks"
    for name, column, other in (("user", "user_id", "task_key"), ("key", "task_key", "user_id")):
        reference.connection.execute(f"DROP INDEX {table}_by_{name}")
        reference.connection.execute(
            f"CREATE INDEX {table}_by_{name} ON {table} (organization_id, {column}, created_at, id, {other}, {COVERED})"
        )
    reference.connection.execute("ANALYZE")
    reference.close()


def index_cases(place: RunningStore, size: int, stack: Any) -> list[Case]:
    """Each store has a file of its own, so that neither pushes the other out of the cache of pages."""
    sets: dict[str, Filled] = {}
    for name in (PLAIN, COVERING):
        own = RunningStore(place.store, place.url.replace("tasks.db", f"{name.split()[0]}.db"))
        sets[name] = stack.enter_context(filled(own, size))
        if name == COVERING:
            with_covering_indexes(own, f"n{size}")
    references = {
        synchronous: {
            name: SQLiteReference(one.manager.url.text, f"n{size}", synchronous) for name, one in sets.items()
        }
        for synchronous in ("FULL", "NORMAL")
    }
    for reference in (one for both in references.values() for one in both.values()):
        stack.callback(reference.close)
    dataset = sets[PLAIN].dataset
    chance = random.Random(size)
    cases = [
        Case(
            {"choice": f"{lookup}, {found} found", "size": size},
            tuple(Variant(name, getattr(one, lookup)) for name, one in references["FULL"].items()),
            functools.partial(draw, chance, arguments),
        )
        for lookup in LOOKUPS
        for found in (10, 100)
        if (arguments := dataset.arguments(lookup, found))
    ]
    active: list[Active] = dataset.active
    # Where the disk is waited for, that hides most of what an index costs.
    for synchronous, both in references.items():
        cases += [
            Case(
                {"choice": f"update_progress, synchronous {synchronous}", "size": size},
                tuple(Variant(name, one.update_progress) for name, one in both.items()),
                lambda number: [(a.task_id, a.organization_id, 0.25) for a in chance.choices(active, k=number)],
            ),
            Case(
                {"choice": f"create, synchronous {synchronous}", "size": size},
                tuple(Variant(name, one.create) for name, one in both.items()),
                lambda number: [(NewTask(*new_key(chance)),) for _ in range(number)],
            ),
        ]
    return cases
