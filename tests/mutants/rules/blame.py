"""Mutants of the read model and of visibility whose bugs were first caught by clauses of other groups."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from module_sdk.backends import Change, Query, Sort, StoredRows, TaskRecord, statuses
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import ChangedSelection, MemoryMutant


class Remembers(MemoryMutant):
    """A store that caches answers until one of the primitives in `clears_at` is called."""

    clears_at: frozenset[str] = frozenset()

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.remembered: dict[str, Any] = {}

    def call(self, primitive: Any, *args: Any) -> Any:
        if primitive.__name__ in self.clears_at:
            self.remembered.clear()
        return super().call(primitive, *args)


@mutant("t421", "a cached count that imports and prunes do not change", clause="MODEL-07")
class CountCached(Remembers):
    """A cache of counts, which only creates and updates clear."""

    clears_at = frozenset({"store_create", "store_update"})

    def store_count(self, query: Query, deadline: float) -> int:
        question = repr(query)
        if question not in self.remembered:
            self.remembered[question] = super().store_count(query, deadline)
        found: int = self.remembered[question]
        return found


class IndexedBy(ChangedSelection):
    """A store with an index from the values of a field to tasks, to which each write adds an entry."""

    field = "label"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.index: dict[Any, set[str]] = {}

    def note(self, record: TaskRecord) -> None:
        self.index.setdefault(getattr(record, self.field), set()).add(record.id)

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        created = super().store_create(record, deadline)
        self.note(created)
        return created

    def store_import(self, records: Any, deadline: float) -> int:
        written = super().store_import(records, deadline)
        for record in records:
            if record.id in self.tables.records:
                self.note(record)
        return written

    def store_update(self, task_id: str, organization: str | None, change: Change, deadline: float) -> Any:
        row = super().store_update(task_id, organization, change, deadline)
        if row is not None:
            self.note(self.tables.records[task_id])
        return row

    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        if condition.field == self.field and condition.operator == "any_of":
            return any(record.id in self.index.get(value, ()) for value in condition.value)
        return super().meets(record, condition, query)


@mutant("t422", "an earlier label stays in the index", clause="MODEL-02")
class StaleLabelIndex(IndexedBy):
    """An update adds the new label to the index and does not remove the old one."""


@mutant("t423", "a bound of zero is ignored", clause="MODEL-06")
class FalsyBoundDropped(ChangedSelection):
    """Takes a time bound that is false in Python for an absent one."""

    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        is_bound = condition.operator in ("at_least", "below")
        return (is_bound and not condition.value) or super().meets(record, condition, query)


@mutant("t424", "a bound before 1970 is ignored", clause="MODEL-06")
class EarlyBoundDropped(ChangedSelection):
    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        is_early = condition.operator in ("at_least", "below") and condition.value < 0
        return is_early or super().meets(record, condition, query)


@mutant("t425", "only one bound per field", clause="MODEL-06")
class LastBoundOfAField(ChangedSelection):
    """Collects conditions by field, so that the upper bound replaces the lower one."""

    def select(self, query: Query) -> Iterator[TaskRecord]:
        by_field = {condition.field: condition for condition in query.conditions}
        return super().select(Query(query.organization, tuple(by_field.values())))


@mutant("t426", "tasks interrupted together stay in the index of statuses", clause="MODEL-02")
class StatusIndexMissesManyEnds(MemoryMutant):
    """Pages filtered by status come from an index that `interrupt_all` does not update."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.states: dict[str, str] = {}

    def store_update_many(self, task_ids: Any, organization: str | None, change: Change, deadline: float) -> int:
        changed = 0
        for task_id in task_ids:
            before = self.tables.records.get(task_id)
            if super().store_update(task_id, organization, change, deadline) is not None:
                changed += 1
                self.states[task_id] = before.status if before else ""
        return changed

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        wanted = next((c.value for c in query.conditions if c.field == "status" and c.operator == "any_of"), None)
        rows = super().store_page(query, sort, offset, limit, deadline)
        if wanted is None:
            return rows
        stale = [self.tables.records[task_id] for task_id, state in self.states.items() if state in wanted]
        gone = {task_id for task_id, state in self.states.items() if state not in wanted}
        return [row for row in rows if row is not None and row[0] not in gone] + [record.row() for record in stale]


@mutant("t427", "a view cached past the end of its task", clause="SEE-01")
class ViewRemembered(Remembers):
    """A cache of records, from which an update removes its task unless it ends it."""

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        if task_id not in self.remembered:
            self.remembered[task_id] = super().store_get(task_id, None, deadline)
        record: TaskRecord | None = self.remembered[task_id]
        return record if record is not None and organization in (None, record.organization_id) else None

    def store_update(self, task_id: str, organization: str | None, change: Change, deadline: float) -> Any:
        row = super().store_update(task_id, organization, change, deadline)
        if not change.ends:
            self.remembered.pop(task_id, None)
        return row

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        self.remembered.pop(record.id, None)
        return super().store_create(record, deadline)

    def store_import(self, records: Any, deadline: float) -> int:
        self.remembered.clear()
        return super().store_import(records, deadline)


@mutant("t428", "a user's list cached until the next create", clause="SEE-01")
class UserListRemembered(Remembers):
    """A cache of users' lists, which creates, imports and prunes clear and updates do not."""

    clears_at = frozenset({"store_create", "store_import", "store_prune"})

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        question = repr((organization, user, limit))
        if question not in self.remembered:
            self.remembered[question] = super().store_find_by_user(organization, user, limit, deadline)
        return list(self.remembered[question])


@mutant("t429", "a page of ended tasks cached", clause="MODEL-02")
class EndedPagesRemembered(Remembers):
    """Assumes that ended tasks no longer change, and caches their pages until another task ends."""

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        states = next((c.value for c in query.conditions if c.field == "status" and c.operator == "any_of"), None)
        if not states or not set(states) <= set(statuses.FINAL):
            return super().store_page(query, sort, offset, limit, deadline)
        question = repr((query, sort, offset, limit))
        if question not in self.remembered:
            self.remembered[question] = super().store_page(query, sort, offset, limit, deadline)
        return list(self.remembered[question])

    def store_update(self, task_id: str, organization: str | None, change: Change, deadline: float) -> Any:
        if change.ends:
            self.remembered.clear()
        return super().store_update(task_id, organization, change, deadline)

    def store_import(self, records: Any, deadline: float) -> int:
        self.remembered.clear()
        return super().store_import(records, deadline)
