"""Mutants of the order of pages by one field."""

from __future__ import annotations

import struct
from typing import Any

from module_sdk_redis.filters import NEWEST_FIRST, ReadModel

from module_sdk.backends import Query, Sort, StoredRows, TaskRecord
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import ChangedSort, MemoryMutant
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import SQLStatementMutant

RANKS = ("pending", "running", "waiting_confirmation", "completed", "failed", "interrupted")


class SortsOneField(ChangedSort):
    """A store that sorts one field by `rank_of` its value, and each other field correctly."""

    field: str

    def key(self, record: TaskRecord, sort: Sort) -> Any:
        correct = super().key(record, sort)
        if sort.field != self.field or not correct[0]:
            return correct
        return (True, self.rank_of(correct[1]), record.id)

    def rank_of(self, value: Any) -> Any:
        raise NotImplementedError


@mutant("t201", "statuses sort by rank", clause="ORDER-09")
class StatesByRank(SortsOneField):
    """Sorts a status by its number in the lifecycle."""

    field = "status"

    def rank_of(self, value: Any) -> Any:
        return RANKS.index(value) if value in RANKS else -1


@mutant("t202", "progress sorts as text", clause="ORDER-09")
class ProgressAsText(SortsOneField):
    """Sorts progress by its shortest text, in which 1e-05 comes after 0.5."""

    field = "progress"

    def rank_of(self, value: Any) -> Any:
        return repr(value)


@mutant("t203", "labels sort in UTF-16", clause="ORDER-09")
class LabelsInUTF16(SortsOneField):
    field = "label"

    def rank_of(self, value: Any) -> Any:
        return value.encode("utf-16-be")


@mutant("t204", "users sort by number", clause="ORDER-09")
class UsersByNumber(SortsOneField):
    """Sorts ids as a caller sees them: integers by value, before all texts."""

    field = "user_id"

    def rank_of(self, value: Any) -> Any:
        is_number = value.removeprefix("-").isdecimal()
        return (not is_number, int(value) if is_number else 0, value)


@mutant("t205", "tasks without an organization sort last", clause="ORDER-09")
class NoOrganizationLast(SortsOneField):
    field = "organization_id"

    def rank_of(self, value: Any) -> Any:
        return (value == "", value)


@mutant("t206", "keys sort by their first 64 characters", clause="ORDER-09")
class KeysByABeginning(SortsOneField):
    """Sorts by an index of only the first characters of a key."""

    field = "task_key"

    def rank_of(self, value: Any) -> Any:
        return value[:64]


@mutant("t214", "progress sorts in 32 bits", clause="ORDER-09")
class ProgressInFloat32(SortsOneField):
    field = "progress"

    def rank_of(self, value: Any) -> Any:
        return struct.unpack("<f", struct.pack("<f", value))[0]


@mutant("t219", "a page filtered by ids is in the order of the filter", clause="ORDER-09")
class PageInOrderOfIds(MemoryMutant):
    """Fetches the records of a list of ids, and does not sort them."""

    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        wanted = [c.value for c in query.conditions if c.field == "id" and c.operator == "any_of"]
        if not wanted:
            return super().store_page(query, sort, offset, limit, deadline)
        found = {record.id: record.row() for record in self.select(query)}
        return [found[task_id] for task_id in wanted[0] if task_id in found][offset : offset + limit]


@mutant("t220", "modules sort by their length first", clause="ORDER-09")
class ModulesByLength(SortsOneField):
    """Sorts packed text, which begins with its length."""

    field = "module"

    def rank_of(self, value: Any) -> Any:
        return (len(value.encode()), value)


@mutant("t213", "progress sorts as text in SQLite", clause="ORDER-09")
class ProgressAsTextInSQLite(SQLStatementMutant):
    replacements = (("ORDER BY t.progress", "ORDER BY CAST(t.progress AS TEXT)"),)


class CreationByChange(ReadModel):
    """A read model that uses the index of changes for the order of creation, too."""

    def page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        used = NEWEST_FIRST if sort == Sort("created_at", descending=True) else sort
        return super().page(query, used, offset, limit, deadline)


@mutant("t212", "the order of creation from the index of changes in Redis", clause="ORDER-09")
class CreationFromChangesInRedis(RedisMutant):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.read_model = CreationByChange(self.reader)
