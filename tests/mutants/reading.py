"""Further mutants of lookups, pages, counts and rows."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from module_sdk_memory.selection import sort_key

from module_sdk.backends import Query, Sort, StoredRows, Task, TaskRecord
from module_sdk.rows import LookupResult
from tests.mutants.answers import ChangedRows
from tests.mutants.bases import MemoryMutant
from tests.mutants.matching import like

BATCH = 1_000

# --- Batches and limits -----------------------------------------------------------------------------------------------


class LimitOfEachBatch(MemoryMutant):
    def answer(self, found: Iterable[TaskRecord], limit: int | None) -> StoredRows:
        ranked = iter(sorted(found, key=self.rank, reverse=True))
        batches = iter(lambda: list(itertools.islice(ranked, BATCH)), [])
        return [record.row() for batch in batches for record in batch[:limit]]


class OrderOfEachBatch(MemoryMutant):
    def answer(self, found: Iterable[TaskRecord], limit: int | None) -> StoredRows:
        unranked = iter(list(found))
        batches = iter(lambda: list(itertools.islice(unranked, BATCH)), [])
        ranked = [record for batch in batches for record in sorted(batch, key=self.rank, reverse=True)]
        return [record.row() for record in ranked[:limit]]


class LimitOfEachKey(MemoryMutant):
    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        found = sorted(self.family(organization, start), key=self.rank, reverse=True)
        by_key: dict[str | None, list[TaskRecord]] = {}
        for record in found:
            by_key.setdefault(record.task_key, []).append(record)
        kept = {record.id for records in by_key.values() for record in records[:limit]}
        return [record.row() for record in found if record.id in kept]


class OneRowOfEachKey(MemoryMutant):
    def family(self, organization: str, prefix: str) -> list[TaskRecord]:
        found = sorted(super().family(organization, prefix), key=self.rank)
        return list({record.task_key: record for record in found}.values())


# --- Matching ---------------------------------------------------------------------------------------------------------


class PrefixCutAt255(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return key.startswith(prefix[:255])


class RangeInUTF16(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        first, last = prefix.encode("utf-16-be"), f"{prefix}\uffff".encode("utf-16-be")
        return first <= key.encode("utf-16-be") < last


class BlanksCollapsed(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return re.sub(r"\s+", " ", key) == re.sub(r"\s+", " ", wanted)


class WidthIgnored(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return unicodedata.normalize("NFKC", key) == unicodedata.normalize("NFKC", wanted)


class ControlsStripped(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return printable(key) == printable(wanted)


class UserTrimmed(MemoryMutant):
    def has_user(self, record: TaskRecord, user: str) -> bool:
        return record.user_id.strip() == user.strip()


class UnknownUserSeesAll(MemoryMutant):
    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        known = {record.user_id for record in self.tables.records.values()}
        found = [r for r in self.scoped(organization) if user not in known or r.user_id == user]
        return self.answer(found, limit)


class OrganizationTrimmed(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return record.organization_id.strip() == organization.strip()


class OrganizationFoldsCase(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return record.organization_id.lower() == organization.lower()


class OrganizationAsFloat(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return as_float(record.organization_id) == as_float(organization)


class OrganizationWithoutSign(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return record.organization_id.removeprefix("-") == organization.removeprefix("-")


class AnyDigitsAreANumber(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return ascii_digits(record.organization_id) == ascii_digits(organization)


class MarkersMeanNone(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        stored, asked = ("" if text in ("null", "None") else text for text in (record.organization_id, organization))
        return stored == asked


def printable(text: str) -> str:
    return "".join(character for character in text if unicodedata.category(character) != "Cc")


def as_float(text: str) -> float | str:
    return float(text) if re.fullmatch(r"-?[1-9][0-9]{0,300}", text) else text


def ascii_digits(text: str) -> str:
    return str(int(text)) if text.isdecimal() else text


# --- Pages and counts -------------------------------------------------------------------------------------------------


class ChangedSelection(MemoryMutant):
    """Pages and counts whose filters are decided by `meets`, a record and one filter at a time."""

    def select(self, query: Query) -> Iterator[TaskRecord]:
        for record in self.tables.records.values():
            in_scope = query.organization in (None, record.organization_id)
            if in_scope and all(self.meets(record, condition, query) for condition in query.conditions):
                yield record

    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        plain = Query(query.organization, (condition,))
        return any(found is record for found in super().select(plain))


class CountIgnoresAFilter(MemoryMutant):
    def store_count(self, query: Query, deadline: float) -> int:
        kept = tuple(c for c in query.conditions if c.field != "module")
        return super().store_count(Query(query.organization, kept), deadline)


class AtLeastIsAbove(ChangedSelection):
    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        if condition.operator == "at_least" and condition.field in ("created_at", "updated_at"):
            return bool(getattr(record, condition.field) > condition.value)
        return super().meets(record, condition, query)


class StartsWithFoldsCase(ChangedSelection):
    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        if condition.operator in ("at_least", "below") and isinstance(condition.value, str):
            value = (getattr(record, condition.field) or "").lower()
            wanted = condition.value.lower()
            return value >= wanted if condition.operator == "at_least" else value < wanted
        return super().meets(record, condition, query)


class ContainsHasWildcards(ChangedSelection):
    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        if condition.operator == "contains":
            return like(f"%{condition.value}%", getattr(record, condition.field) or "\x00")
        return super().meets(record, condition, query)


class FirstOfAList(ChangedSelection):
    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        if condition.operator == "any_of":
            return super().meets(record, condition._replace(value=condition.value[:1]), query)
        return super().meets(record, condition, query)


class ListCut(ChangedSelection):
    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        value = condition.value[:1_000] if condition.operator == "any_of" else condition.value
        return super().meets(record, condition._replace(value=value), query)


class PageCut(MemoryMutant):
    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        return super().store_page(query, sort, offset, min(limit, 500), deadline)


class FilterOverridesScope(MemoryMutant):
    def select(self, query: Query) -> Iterator[TaskRecord]:
        named = any(condition.field == "organization_id" for condition in query.conditions)
        return super().select(Query(None if named else query.organization, query.conditions))


class NoOrganizationsAreNone(MemoryMutant):
    """Takes an empty list of organizations for "of no organization"."""

    def page(self, *, filters: Mapping[str, Any] | None = None, **rest: Any) -> LookupResult:
        return super().page(filters=none_for_empty(filters), **rest)

    def count(self, *, filters: Mapping[str, Any] | None = None, **rest: Any) -> int:
        return super().count(filters=none_for_empty(filters), **rest)


class SortedAnew(MemoryMutant):
    """Pages in the order of `key`."""

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        chosen = sorted(self.select(query), key=lambda record: self.key(record, sort), reverse=sort.descending)
        return [record.row() for record in chosen[offset : offset + limit]]

    def key(self, record: TaskRecord, sort: Sort) -> Any:
        return sort_key(record, sort)


class NoneSortedLast(SortedAnew):
    def key(self, record: TaskRecord, sort: Sort) -> Any:
        value = getattr(record, sort.field)
        return (value is None, value or 0 if value is None else value, record.id)


class SortedByLocale(SortedAnew):
    def key(self, record: TaskRecord, sort: Sort) -> Any:
        value = getattr(record, sort.field)
        return (value is not None, value.casefold() if isinstance(value, str) else value or 0, record.id)


class SortedAsText(SortedAnew):
    def key(self, record: TaskRecord, sort: Sort) -> Any:
        value = getattr(record, sort.field)
        return (value is not None, f"{value:g}" if isinstance(value, float) else value or 0, record.id)


class TiesAlwaysAscending(MemoryMutant):
    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        chosen = sorted(self.select(query), key=lambda record: record.id)
        chosen.sort(key=lambda record: sort_key(record, sort)[:-1], reverse=sort.descending)
        return [record.row() for record in chosen[offset : offset + limit]]


class OffsetWraps(MemoryMutant):
    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        total = max(1, self.store_count(query, deadline))
        return super().store_page(query, sort, offset % total, limit, deadline)


class ViewFoldsIds(MemoryMutant):
    def get(self, task_id: str, **rest: Any) -> Task | None:
        return super().get(task_id.lower() if isinstance(task_id, str) else task_id, **rest)


def none_for_empty(filters: Mapping[str, Any] | None) -> dict[str, Any]:
    given = dict(filters or {})
    return given | ({"organization_id": None} if given.get("organization_id") == [] else {})


# --- Rows -------------------------------------------------------------------------------------------------------------


class TimesShownInMilliseconds(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "created_at": f"{row['created_at'][:23]}000+00:00"}


class ProgressRounded(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "progress": round(row["progress"], 6)}


class LabelCut(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "label": row["label"][:255]}


class LabelTrimmed(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "label": row["label"].strip()}


class QuotesDoubledInLabels(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "label": row["label"].replace("'", "''")}


class IdsWithoutZeros(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        user = row["user_id"]
        return {**row, "user_id": int(user) if isinstance(user, str) and user.isdecimal() else user}


class EmptyKeyForNone(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "task_key": row["task_key"] or ""}


class OwnTypes(MemoryMutant):
    """Rows whose progress is a subclass of float."""

    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> LookupResult:
        found = super().find(primitive, arguments, limit, timeout_seconds)
        found[:] = [{**row, "progress": OwnFloat(row["progress"])} for row in found]
        return found


class OwnFloat(float):
    """Equal to a float, and not one."""
