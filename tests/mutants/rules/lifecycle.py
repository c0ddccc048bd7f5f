"""Mutants of the rules about the state machine."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from module_sdk_mongo.records import document_of
from module_sdk_redis.records import pack, unpack
from module_sdk_sql.schema import PAYLOAD_COLUMNS

from module_sdk.backends import Change, TaskRecord, statuses
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import ChangedUpdates, MemoryMutant, with_fields
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import SQLMutant, SQLStatementMutant


@mutant("46", "progress after completion accepted", clause="LIFE-02")
class ProgressAfterTheEnd(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        return change if "status" in change.fields else with_fields(change, tuple(statuses.STATUSES))


@mutant("47", "cancel overwrites completed", clause="LIFE-02")
class CancelOverwritesCompleted(MemoryMutant):
    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        record = self.tables.records.get(task_id)
        cancels = change.fields.get("status") == statuses.INTERRUPTED
        if cancels and record is not None and record.status == statuses.COMPLETED:
            return self.replace(record, **change.fields)
        return super().store_update(task_id, organization, change, deadline)


@mutant("48", "checkpoint merged", clause="LIFE-08")
class CheckpointMerged(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        old, new = (json.loads(text or "null") for text in (record.checkpoint, change.fields.get("checkpoint")))
        if isinstance(old, dict) and isinstance(new, dict):
            return with_fields(change, change.allowed, checkpoint=json.dumps({**old, **new}))
        return change


@mutant("49", "label update erases checkpoint", clause="LIFE-08")
class LabelErasesCheckpoint(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        return with_fields(change, change.allowed, checkpoint=None) if set(change.fields) == {"label"} else change


@mutant("50", "updated_at goes backwards", clause="LIFE-05")
class UpdatedAtGoesBack(MemoryMutant):
    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        row = super().store_update(task_id, organization, change, deadline)
        return row and self.replace(self.tables.records[task_id], updated_at=change.now)


@mutant("51", "update creates missing tasks", clause="LIFE-10")
class UpdateCreates(MemoryMutant):
    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        if task_id not in self.tables.records:
            fields: dict[str, Any] = dict.fromkeys(TaskRecord._fields)
            fields |= {"id": task_id, "module": "?", "label": "", "status": "running", "progress": 0.0, "user_id": "1"}
            fields |= {"organization_id": "", "created_at": change.now, "updated_at": change.now}
            self.tables.put(TaskRecord(**fields))
        return super().store_update(task_id, organization, change, deadline)


@mutant("r43", "progress writes the whole row back", clause="LIFE-03", race=True)
@mutant("r43", "an update writes the whole row back", clause="LIFE-09", race=True)
class WholeRowWritten(MemoryMutant):
    """Reads the record, waits 5 ms, and writes all of it back. Only a change of status is atomic."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        read = self.tables.records.get(task_id)
        if read is None or "status" in change.fields or read.status not in change.allowed:
            return super().store_update(task_id, organization, change, deadline)
        time.sleep(0.005)
        return self.replace(read, **change.fields, updated_at=max(change.now, read.updated_at + 1))


@mutant("x1", "status guarded outside the statement", clause="LIFE-03", race=True)
class GuardOutsideTheStatement(MemoryMutant):
    """Checks the status, waits 5 ms, and writes without a second check."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        read = self.tables.records.get(task_id)
        if read is None or read.status not in change.allowed:
            return None
        time.sleep(0.005)
        with self.tables.lock:
            fields = {**change.fields, "updated_at": max(change.now, self.tables.records[task_id].updated_at + 1)}
            if change.ends:
                fields |= {"finished_at": fields["updated_at"], "active_key": None}
                self.tables.active.pop((read.organization_id, read.active_key or ""), None)
            return self.replace(self.tables.records[task_id], **fields)


@mutant("x2", "started_at set again", clause="LIFE-07")
class StartedAgain(MemoryMutant):
    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        row = super().store_update(task_id, organization, change, deadline)
        return row and self.replace(self.tables.records[task_id], started_at=change.now) if change.starts else row


@mutant("x37", "every move from an active state is legal", clause="LIFE-01")
class AnyMoveIsLegal(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        return with_fields(change, statuses.ACTIVE) if "status" in change.fields else change


@mutant("x38", "an update moves created_at", clause="LIFE-06")
class UpdateMovesCreation(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        return with_fields(change, change.allowed, created_at=change.now)


@mutant("x108", "a change of status erases the checkpoint", clause="LIFE-08")
class StatusErasesCheckpoint(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        keeps = "status" not in change.fields or "checkpoint" in change.fields
        return change if keeps else with_fields(change, change.allowed, checkpoint=None)


@mutant("x109", "clearing a field is ignored", clause="LIFE-08")
class ClearingIgnored(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        kept = {name: value for name, value in change.fields.items() if value is not None}
        return Change(change.now, change.allowed, kept, change.starts, change.ends)


@mutant("x110", "progress never falls", clause="LIFE-04")
class ProgressNeverFalls(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        progress = change.fields.get("progress")
        if progress is None:
            return change
        return with_fields(change, change.allowed, progress=max(progress, record.progress))


@mutant("x111", "completed keeps its progress", clause="LIFE-07")
class CompletedKeepsProgress(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        if change.fields.get("status") != statuses.COMPLETED:
            return change
        return with_fields(change, change.allowed, progress=record.progress)


@mutant("x112", "an update rewrites the module", clause="LIFE-06")
class ModuleRewritten(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        return with_fields(change, change.allowed, module="system") if "label" in change.fields else change


@mutant("x113", "interrupted never finishes", clause="LIFE-07")
class InterruptedNeverFinishes(MemoryMutant):
    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        row = super().store_update(task_id, organization, change, deadline)
        if row is not None and change.fields.get("status") == statuses.INTERRUPTED:
            self.replace(self.tables.records[task_id], finished_at=None)
        return row


@mutant("x114", "an update may leave updated_at unchanged", clause="LIFE-05")
class UpdatedAtUnchanged(MemoryMutant):
    """Sets `updated_at` to the later of the clock and the stored time, without adding a microsecond."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        before = self.tables.records.get(task_id)
        row = super().store_update(task_id, organization, change, deadline)
        if row is None or before is None:
            return row
        return self.replace(self.tables.records[task_id], updated_at=max(change.now, before.updated_at))


@mutant("x115", "progress undoes a cancel", clause="LIFE-03", race=True)
class ProgressOverCancel(MemoryMutant):
    """Reads the status, waits 5 ms, and writes it back with the progress. Only reports of progress do this."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        read = self.tables.records.get(task_id)
        if read is None or "progress" not in change.fields or "status" in change.fields:
            return super().store_update(task_id, organization, change, deadline)
        if read.status not in change.allowed:
            return None
        time.sleep(0.005)
        return self.replace(self.tables.records[task_id], status=read.status, **change.fields)


@mutant("x166", "an UPDATE without its guard", clause="LIFE-03", race=True)
@mutant("x180", "an UPDATE without its guard on PostgreSQL", clause="LIFE-03", on="postgresql", race=True)
class StatusNotGuarded(SQLStatementMutant):
    """Checks the status, waits 5 ms, and writes without a second check."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        record = self.store_get(task_id, organization, deadline)
        if record is None or record.status not in change.allowed:
            return None
        time.sleep(0.005)
        unguarded = Change(change.now, tuple(statuses.STATUSES), change.fields, change.starts, change.ends)
        return super().store_update(task_id, organization, unguarded, deadline)


@mutant("x167", "an UPDATE of every column", clause="LIFE-09", race=True)
@mutant("x184", "an UPDATE of every column on MariaDB", clause="LIFE-09", on="mariadb", race=True)
class WholeRecordWritten(SQLStatementMutant):
    """Reads progress, label, checkpoint and error, waits 5 ms, and writes all of them."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        record = self.store_get(task_id, organization, deadline)
        if record is None or "status" in change.fields:
            return super().store_update(task_id, organization, change, deadline)
        time.sleep(0.005)
        read = {name: getattr(record, name) for name in ("progress", "label", "checkpoint", "error")}
        whole = Change(change.now, change.allowed, {**read, **change.fields}, change.starts, change.ends)
        return super().store_update(task_id, organization, whole, deadline)


@mutant("x193", "a row written outside the script", clause="LIFE-03", race=True)
class RowWrittenOutsideTheScript(RedisMutant):
    """Changes the record by the script, and 5 ms later writes back the whole record that it read before.

    A change of status is atomic.
    """

    def store_update(self, task_id: str, organization: str | None, change: Any, deadline: float) -> Any:
        record = self.store_get(task_id, organization, deadline)
        if record is None or "status" in change.fields or record.status not in change.allowed:
            return super().store_update(task_id, organization, change, deadline)
        if super().store_update(task_id, organization, change, deadline) is None:
            return None
        time.sleep(0.005)
        fields = {name: value for name, value in change.fields.items() if name in ("progress", "label")}
        packed = pack(record._replace(**fields, updated_at=max(change.now, record.updated_at + 1)))
        self.router.read("SET", self.layout.record(task_id), packed, deadline=deadline)
        return unpack(packed.encode())


@mutant("x202", "a whole document written in MongoDB", clause="LIFE-09", race=True)
class WholeDocumentWritten(MongoMutant):
    """Reads the document, waits 5 ms, and replaces it. A change of status is atomic."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        record = self.store_get(task_id, organization, deadline)
        if record is None or "status" in change.fields or record.status not in change.allowed:
            return super().store_update(task_id, organization, change, deadline)
        time.sleep(0.005)
        changed = record._replace(**change.fields, updated_at=max(change.now, record.updated_at + 1))
        self.connection.tasks.replace_one({"_id": task_id}, document_of(changed))
        return changed.row()


@mutant("x208", "times without a carry in Redis", clause="LIFE-05")
class TimesWithoutCarryInRedis(RedisMutant):
    """Adds to the lower digits of a time without a carry into the upper ones."""

    replacements = (("string.format('%09d', tonumber(string.sub(time, 1, 9)) + 1)", "string.sub(time, 1, 9)"),)


@mutant("s40", "an update in two steps", clause="LIFE-03", race=True)
class UpdateInTwoSteps(SQLMutant):
    """Changes the row, and 5 ms later the payloads in another transaction."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        apart = {name: value for name, value in change.fields.items() if name in PAYLOAD_COLUMNS}
        rest = {name: value for name, value in change.fields.items() if name not in apart}
        row = super().store_update(task_id, organization, change._replace(fields=rest), deadline)
        if row is not None and apart:
            time.sleep(0.005)
            with self.pool.connection(deadline) as connection:
                self.write_payloads(connection, task_id, apart, deadline)
        return row


@mutant("s41", "a get in two steps", clause="LIFE-03", race=True)
class GetInTwoSteps(SQLMutant):
    """Reads the row, and 2 ms later the payloads."""

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        row = super().store_get(task_id, organization, deadline)
        time.sleep(0.002)
        later = row and super().store_get(task_id, organization, deadline)
        if row is None or later is None:
            return None
        payloads = {name: getattr(later, name) for name in ("checkpoint", "result", "error", "confirmation")}
        return row._replace(**payloads)


@mutant("s44", "payloads are cleared only if none is set", clause="LIFE-08")
class SetsOrClears(RedisMutant):
    """An update that sets one payload does not clear another."""

    replacements = (("  end\n  if #ARGV > last then", "  elseif #ARGV > last then"),)
