"""Mutants that break a rule only near a maximum, for deep nesting, or for some kinds of line break."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from module_sdk.backends import Change, TaskBackendError, TaskRecord
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import ChangedUpdates, MemoryMutant, with_fields
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import SQLMutant

PAYLOADS = ("checkpoint", "result", "confirmation", "arguments")


def first_bytes(text: str, maximum: int) -> str:
    return text.encode()[:maximum].decode(errors="ignore")


class ChangedValues:
    """A store that passes each text through `changed` before a create, an import or an update writes it."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        written = self.record(record)
        stored: TaskRecord = super().store_create(written, deadline)  # type: ignore[misc]  # of the other base
        return record if stored == written else stored

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        written: int = super().store_import([self.record(each) for each in records], deadline)  # type: ignore[misc]
        return written

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        planned = change._replace(fields=self.all_changed(change.fields))
        row: Sequence[Any] | None
        row = super().store_update(task_id, organization, planned, deadline)  # type: ignore[misc]
        return row

    def record(self, record: TaskRecord) -> TaskRecord:
        return record._replace(**self.all_changed(record._asdict()))

    def all_changed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self.changed(name, value) if isinstance(value, str) else value for name, value in values.items()}

    def changed(self, name: str, value: str) -> str | None:
        raise NotImplementedError


class MemoryValues(ChangedValues, MemoryMutant):
    pass


@mutant("t141", "modules of 250 bytes", clause="ROW-04")
class ModulesOf250(MemoryValues):
    def changed(self, name: str, value: str) -> str | None:
        return first_bytes(value, 250) if name == "module" else value


@mutant("t142", "labels of 1,000 bytes", clause="ROW-04")
class LabelsOf1000(MemoryValues):
    def changed(self, name: str, value: str) -> str | None:
        return first_bytes(value, 1_000) if name == "label" else value


@mutant("t143", "errors of 65,535 bytes", clause="ROW-04")
class ErrorsOf65535(MemoryValues):
    """A column of the type TEXT has one byte less than 64 KiB."""

    def changed(self, name: str, value: str) -> str | None:
        return first_bytes(value, 65_535) if name == "error" else value


@mutant("t144", "payloads nested 64 deep", clause="ROW-07")
class PayloadsOfDepth64(MemoryValues):
    """Refuses payloads that are nested deeper, as some JSON parsers do."""

    def changed(self, name: str, value: str) -> str | None:
        if name in PAYLOADS and value.count("[") > 64:
            raise TaskBackendError("the document is nested too deeply")
        return value


@mutant("t145", "results nested 99 deep in SQLite", clause="ROW-07")
class ResultsOfDepth99(ChangedValues, SQLMutant):
    def changed(self, name: str, value: str) -> str | None:
        if name == "result":
            depth = deepest = 0
            for character in value:
                depth += (character in "[{") - (character in "]}")
                deepest = max(deepest, depth)
            if deepest > 99:
                raise TaskBackendError("malformed JSON")
        return value


@mutant("t146", "line and paragraph separators are newlines", clause="ROW-04")
class SeparatorsAreNewlines(MemoryValues):
    """Writes a task as lines, and reads them with `splitlines`."""

    def changed(self, name: str, value: str) -> str | None:
        return "\n".join(value.split("\u2028")) if name in ("label", "error", "module") else value


@mutant("t147", "vertical tabs and form feeds stripped from labels", clause="ROW-04")
class FeedsStripped(MemoryValues):
    def changed(self, name: str, value: str) -> str | None:
        return value.strip("\v\f\x85") if name == "label" else value


@mutant("t148", "keys lose NEL at their end", clause="KEY-01")
class KeysLoseNEL(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return key.rstrip("\x85\u2029") == wanted.rstrip("\x85\u2029")


@mutant("t149", "an empty label changes nothing", clause="LIFE-08")
class EmptyLabelIgnored(ChangedUpdates):
    """Writes `label or record.label`."""

    def planned(self, record: TaskRecord, change: Change) -> Change:
        return with_fields(change, change.allowed, label=record.label) if change.fields.get("label") == "" else change


@mutant("t150", "an empty error is stored as None", clause="ROW-04")
class EmptyErrorIsNone(MemoryValues):
    def changed(self, name: str, value: str) -> str | None:
        return None if name == "error" and value == "" else value


@mutant("t151", "prefixes of 1,000 bytes", clause="PREFIX-01")
class PrefixesOf1000(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return key.startswith(first_bytes(prefix, 1_000))


@mutant("t152", "users of 250 bytes", clause="USER-02")
class UsersOf250(MemoryMutant):
    def has_user(self, record: TaskRecord, user: str) -> bool:
        return first_bytes(record.user_id, 250) == first_bytes(user, 250)


@mutant("t153", "payloads of about a million bytes", clause="BAD-01")
class PayloadsOfAMillion(MemoryValues):
    """Refuses payloads a little below the default maximum of 1 MiB."""

    def changed(self, name: str, value: str) -> str | None:
        if name in PAYLOADS and len(value.encode()) > 1_048_000:
            raise TaskBackendError("the document is too large")
        return value


@mutant("t154", "payloads of 2 MiB where 4 are allowed", clause="BAD-01")
class PayloadsOf2MiB(MemoryValues):
    def changed(self, name: str, value: str) -> str | None:
        if name in PAYLOADS and len(value.encode()) > 2_097_152:
            raise TaskBackendError("the document is too large")
        return value


@mutant("t155", "organizations of 250 bytes", clause="SCOPE-01")
class OrganizationsOf250(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return first_bytes(record.organization_id, 250) == first_bytes(organization, 250)


@mutant("t156", "an empty label changes nothing in Redis", clause="LIFE-08")
class EmptyLabelInRedis(RedisMutant):
    """The script takes an empty argument for an absent one."""

    def store_update(self, task_id: str, organization: str | None, change: Any, deadline: float) -> Any:
        if change.fields.get("label") == "":
            fields = {name: value for name, value in change.fields.items() if name != "label"}
            change = change._replace(fields=fields)
        return super().store_update(task_id, organization, change, deadline)


@mutant("t157", "a record is stored as lines of a file", clause="ROW-04")
class RecordsAreLines(MemoryMutant):
    """Reads U+001C as a line break in an error, and ends the error at U+2029."""

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        record = super().store_get(task_id, organization, deadline)
        if record is None or record.error is None:
            return record
        kept = record.error.replace("\n", "\r").replace("\x1c", "\r").split("\u2029")[0]
        return record._replace(error=kept.replace("\r", "\n") if "\r" not in record.error else record.error)


@mutant("t158", "a key of 1,024 bytes is not found", clause="KEY-04")
class LongestKeyNotFound(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return key == wanted and len(key.encode()) < 1_024
