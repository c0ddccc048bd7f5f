"""Mutants of the rules about rows and payloads."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from module_sdk.backends import Change, TaskRecord, statuses
from module_sdk.domain.rows import LookupResult
from module_sdk.domain.shapes import TaskRow
from tests.mutants.marking import mutant
from tests.mutants.stores.facade import Patch, PatchedFacade, original
from tests.mutants.stores.memory import ChangedRows, ChangedUpdates, MemoryMutant, with_fields
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import SQLStatementMutant

VIEW = original("module_sdk.models.read_model:BackgroundTasks.view")


PAYLOADS = ("checkpoint", "result")


class ChangedPayloads(MemoryMutant):
    """A store that passes payloads through `changed` before a create or an update writes them."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        payloads: dict[str, Any] = {name: self.rewritten(getattr(record, name)) for name in PAYLOADS}
        written = record._replace(**payloads)
        stored = super().store_create(written, deadline)
        return record if stored == written else stored

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        fields = {name: self.rewritten(value) if name in PAYLOADS else value for name, value in change.fields.items()}
        changed = Change(change.now, change.allowed, fields, change.starts, change.ends)
        return super().store_update(task_id, organization, changed, deadline)

    def rewritten(self, text: str | None) -> str | None:
        return None if text is None else self.changed(text)

    def changed(self, text: str) -> str | None:
        raise NotImplementedError


class OwnFloat(float):
    """A subclass of float, which is equal to a float but has another type."""


THROUGH_CJSON = """local recoded = {}
for index = first, last do
  local text = ARGV[index]
  if string.sub(text, 1, 1) == '[' then text = cjson.encode(cjson.decode(text)) end
  recoded[#recoded + 1] = text
end
redis.call('HSET', keys.payloads, unpack(recoded))"""


OPTIONAL: Final = (
    "started_at", "finished_at", "checkpoint", "result", "error", "confirmation", "function", "arguments",
)  # fmt: skip


@mutant("33", "rows share state with the store", clause="ROW-05")
class RowsShared(MemoryMutant):
    """Returns the dicts that it keeps, which the caller may change."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.kept: dict[str, TaskRow] = {}

    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> Any:
        found = super().find(primitive, arguments, limit, timeout_seconds)
        found[:] = [self.kept.setdefault(row["id"], row) for row in found]
        return found


@mutant("34", "extra field in rows", clause="ROW-01")
class ExtraField(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "checkpoint": None}


@mutant("35", "local time", clause="ROW-02")
class LocalTime(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "created_at": row["created_at"].replace("+00:00", "+01:00")}


@mutant("36", "time text without zero padding", clause="ROW-02")
class TimeWithoutPadding(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "created_at": row["created_at"].replace("+00:00", "").rstrip("0").rstrip(".") + "+00:00"}


@mutant("37", "big integers as floats", clause="ROW-07")
class BigIntegersAsFloats(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return json.dumps(json.loads(text, parse_int=lambda digits: int(float(digits)) if len(digits) < 300 else 0))


@mutant("38", "empty dict returned as None", clause="ROW-07")
class EmptyDictIsNone(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return None if text == "{}" else text


@mutant("39", "dotted keys in payload mangled", clause="ROW-07")
class DottedKeysMangled(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        def renamed(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            return {key.replace(".", "_"): value for key, value in pairs}

        return json.dumps(json.loads(text, object_pairs_hook=renamed))


@mutant("r30", "True stored as 1", clause="ROW-07")
class TrueIsOne(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return text.replace("true", "1")


@mutant("r32", "falsy payloads dropped", clause="ROW-07")
class FalsyDropped(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return text if json.loads(text) else None


@mutant("x3", "payload keys sorted", clause="ROW-07")
class KeysSorted(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return json.dumps(json.loads(text), sort_keys=True)


@mutant("x8", "progress 1.0 returned as 1", clause="ROW-03")
class ProgressAsInteger(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "progress": int(row["progress"]) if row["progress"] in (0.0, 1.0) else row["progress"]}


@mutant("x9", "user ids returned as text", clause="ROW-08")
class IdsAsText(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "user_id": str(row["user_id"])}


@mutant("x10", "emoji replaced by question marks", clause="ROW-04")
class LabelWithoutAstral(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "label": "".join(c if c < "\U00010000" else "?" for c in row["label"])}


@mutant("x80", "times shown in milliseconds", clause="ROW-02")
class TimesShownInMilliseconds(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "created_at": f"{row['created_at'][:23]}000+00:00"}


@mutant("x81", "progress rounded to six digits", clause="ROW-03")
class ProgressRounded(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "progress": round(row["progress"], 6)}


@mutant("x82", "labels cut at 255", clause="ROW-04")
class LabelCut(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "label": row["label"][:255]}


@mutant("x83", "labels trimmed", clause="ROW-04")
class LabelTrimmed(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "label": row["label"].strip()}


@mutant("x85", "ids lose their leading zeros", clause="ROW-08")
class IdsWithoutZeros(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        user = row["user_id"]
        return {**row, "user_id": int(user) if isinstance(user, str) and user.isdecimal() else user}


@mutant("x86", "an absent key returned as an empty text", clause="ROW-01")
class EmptyKeyForNone(ChangedRows):
    def changed(self, row: dict[str, Any]) -> dict[str, Any]:
        return {**row, "task_key": row["task_key"] or ""}


@mutant("x87", "progress returned as a subclass of float", clause="ROW-01")
class OwnTypes(MemoryMutant):
    """Returns rows whose progress is not exactly a float."""

    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> LookupResult:
        found = super().find(primitive, arguments, limit, timeout_seconds)
        found[:] = [{**row, "progress": OwnFloat(row["progress"])} for row in found]
        return found


@mutant("x97", "nested lists flattened", clause="ROW-07")
class NestingFlattened(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return re.sub(r"\[\[+", "[", text) if text.count("[") == text.count("]") == 2 and "[[" in text else text


@mutant("x98", "the sign of zero lost", clause="ROW-07")
class NegativeZeroLost(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return "0.0" if text == "-0.0" else text


@mutant("x99", "whole floats become integers", clause="ROW-07")
class WholeFloatsAsIntegers(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return re.sub(r"(?<![\d.eE-])(\d+)\.0(?![\d.eE])", r"\1", text)


@mutant("x100", "nulls dropped from lists", clause="ROW-07")
class NullsDropped(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return text.replace("[null]", "[]").replace(", null]", "]")


@mutant("x101", "NUL dropped from payloads", clause="ROW-07")
class NulDropped(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return text.replace("\\u0000", "")


@mutant("x102", "lone surrogates replaced in payloads", clause="ROW-07")
class SurrogatesReplaced(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return re.sub(r"\\ud800(?!\\u)", "?", text)


@mutant("x103", "one text encoded twice", clause="ROW-07")
class CheckpointTwice(ChangedPayloads):
    """Encodes the text `null` twice, since its JSON looks like a value that is not encoded yet."""

    def changed(self, text: str) -> str | None:
        return json.dumps(text) if text == '"null"' else text


@mutant("x104", "errors lose astral characters", clause="ROW-04")
class ErrorWithoutAstral(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        error = change.fields.get("error")
        if not isinstance(error, str):
            return change
        return with_fields(change, change.allowed, error="".join(c for c in error if c < "\U00010000"))


@mutant("x143", "a view leaks a field", clause="ROW-06")
class ViewLeaksFields(PatchedFacade):
    patches: ClassVar[tuple[Patch, ...]] = (
        (
            "module_sdk.models.read_model:BackgroundTasks.view",
            lambda self, task_id: (found := VIEW(self, task_id)) and {**found, "arguments": None},
        ),
    )


@mutant("x170", "payloads read by a lookup", clause="ROW-09")
class PayloadsInLookups(SQLStatementMutant):
    """Reads the checkpoint of every row, and returns only the ten fields."""

    def rewrite(self, sql: str) -> str:
        if "t.user_id = :user ORDER" not in sql:
            return sql
        column = f"(SELECT checkpoint FROM {self.tables.payloads_name} AS p WHERE p.id = t.id) AS checkpoint"
        return sql.replace(", t.updated_at FROM", f", t.updated_at, {column} FROM", 1)

    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> Any:
        return [row and row[:10] for row in super().store_find_by_user(organization, user, limit, deadline)]


@mutant("x190", "cjson in Redis", clause="ROW-07")
class CjsonInRedis(RedisMutant):
    """Decodes and encodes payloads on the server."""

    replacements = (("redis.call('HSET', keys.payloads, unpack(ARGV, first, last))", THROUGH_CJSON),)


@mutant("x203", "an import drops started_at", clause="ROW-02")
class ImportForgetsTimes(MemoryMutant):
    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        return super().store_import([record._replace(started_at=None) for record in records], deadline)


@mutant("x204", "the function of an ended task is dropped", clause="ROW-07")
class FunctionsForgotten(MemoryMutant):
    """Returns ended tasks without the name of their function."""

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        record = super().store_get(task_id, organization, deadline)
        return record and record._replace(function=record.function if record.status in statuses.ACTIVE else None)


@mutant("s24", "an import with the columns of its first record", clause="ROW-07")
class ImportColumnsOfFirst(MemoryMutant):
    """Imports a batch with only the optional columns that its first record has."""

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        lacking: dict[str, Any] = {name: None for name in OPTIONAL if getattr(records[0], name) is None}
        return super().store_import([record._replace(**lacking) for record in records], deadline)
