"""Mutants of single filters of the read model."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from module_sdk_mongo import filters as mongo_conditions
from module_sdk_mongo.queries import Find

from module_sdk.backends import Query, Sort, StoredRows, TaskRecord
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import ChangedSelection
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.sql import SQLStatementMutant


class ChangedFilter(ChangedSelection):
    """A store whose pages and counts call `is_met` for each condition and value."""

    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        return self.is_met(condition, getattr(record, condition.field))

    def is_met(self, condition: Any, value: Any) -> bool:
        return bool(condition.matches(value))


@mutant("t207", "a list with None among its values in SQLite", clause="MODEL-04")
class NullInAList(SQLStatementMutant):
    """Uses `x IN (…, NULL)`, which is not true of an absent value."""

    def rewrite(self, sql: str) -> str:
        return sql.replace("(t.task_key IS NULL OR", "(false OR")


@mutant("t208", "tasks without an organization left out of a list", clause="MODEL-04")
class NoOrganizationInAList(ChangedFilter):
    """Drops the empty text from a list of several organizations."""

    def is_met(self, condition: Any, value: Any) -> bool:
        if condition.field == "organization_id" and condition.operator == "any_of" and len(condition.value) > 1:
            return value != "" and value in condition.value
        return super().is_met(condition, value)


@mutant("t209", "startswith ranges in UTF-16", clause="MODEL-05")
class RangesInUTF16(ChangedFilter):
    def is_met(self, condition: Any, value: Any) -> bool:
        if condition.operator in ("at_least", "below") and isinstance(value, str):
            stored, bound = value.encode("utf-16-be"), condition.value.encode("utf-16-be")
            return bool(stored >= bound if condition.operator == "at_least" else stored < bound)
        return super().is_met(condition, value)


@mutant("t210", "a range of updated_at filters by created_at", clause="MODEL-06")
class RangesOfCreation(ChangedFilter):
    def meets(self, record: TaskRecord, condition: Any, query: Query) -> bool:
        value = record.created_at if condition.field == "updated_at" else getattr(record, condition.field)
        return self.is_met(condition, value)


@mutant("t215", "an absent key contains the empty text", clause="MODEL-05")
class AbsentContainsNothing(ChangedFilter):
    """Filters by `COALESCE(task_key, '')`."""

    def is_met(self, condition: Any, value: Any) -> bool:
        return super().is_met(condition, "" if value is None and condition.operator != "any_of" else value)


@mutant("t216", "labels of a filter lose trailing blanks", clause="MODEL-02")
class LabelsPadded(ChangedFilter):
    """Compares labels by a collation that ignores trailing blanks."""

    def is_met(self, condition: Any, value: Any) -> bool:
        if condition.field == "label" and condition.operator == "any_of":
            return value.rstrip(" ") in {wanted.rstrip(" ") for wanted in condition.value}
        return super().is_met(condition, value)


@mutant("t217", "contains compares in NFC", clause="MODEL-05")
class ContainsInNFC(ChangedFilter):
    def is_met(self, condition: Any, value: Any) -> bool:
        if condition.operator == "contains" and isinstance(value, str):
            return unicodedata.normalize("NFC", condition.value) in unicodedata.normalize("NFC", value)
        return super().is_met(condition, value)


@mutant("t218", "modules of a filter fold case", clause="MODEL-02")
class ModulesFoldCase(ChangedFilter):
    def is_met(self, condition: Any, value: Any) -> bool:
        if condition.field == "module" and condition.operator == "any_of":
            return value.casefold() in {wanted.casefold() for wanted in condition.value}
        return super().is_met(condition, value)


@mutant("t211", "only the last condition on a field in MongoDB", clause="MODEL-06")
class ConditionsOfAFieldMerged(MongoMutant):
    """Merges all conditions into one document, in which the last one of a field replaces the others."""

    def document(self, query: Query) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for condition in query.conditions:
            merged |= mongo_conditions.term(condition)
        scope = {} if query.organization is None else {"organization_id": query.organization}
        return {"$and": [merged, scope]}

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        order = mongo_conditions.order_of(sort)
        with self.checked_within(deadline):
            found: Sequence[Any] = Find(self.document(query), None, order=order).rows(self.connection.tasks)
        return found[offset : offset + limit]

    def store_count(self, query: Query, deadline: float) -> int:
        with self.checked_within(deadline):
            return self.connection.tasks.count_documents(self.document(query))
