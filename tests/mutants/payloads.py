"""Mutants of what is written: payloads, keys held, states, times."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from module_sdk.backends import Change, Task, TaskRecord, statuses
from tests.mutants.bases import MemoryMutant

PAYLOADS = ("checkpoint", "result")


class ChangedPayloads(MemoryMutant):
    """Stores that put payloads through `changed`."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        payloads: dict[str, Any] = {name: self.rewritten(getattr(record, name)) for name in PAYLOADS}
        written = record._replace(**payloads)
        standing = super().store_create(written, deadline)
        return record if standing == written else standing

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


class BigIntegersAsFloats(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return json.dumps(json.loads(text, parse_int=lambda digits: int(float(digits)) if len(digits) < 300 else 0))


class EmptyDictIsNone(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return None if text == "{}" else text


class FalsyDropped(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return text if json.loads(text) else None


class TrueIsOne(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return text.replace("true", "1")


class DottedKeysMangled(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        def renamed(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            return {key.replace(".", "_"): value for key, value in pairs}

        return json.dumps(json.loads(text, object_pairs_hook=renamed))


class KeysSorted(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return json.dumps(json.loads(text), sort_keys=True)


# --- Keys held --------------------------------------------------------------------------------------------------------


class CheckThenInsert(MemoryMutant):
    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        standing = self.tables.records.get(record.id) or self.holder(record)
        if standing is None:
            time.sleep(0.005)
            with self.tables.lock:
                self.tables.put(record)
        return standing or record


class HeldByEnded(MemoryMutant):
    def holder(self, record: TaskRecord) -> TaskRecord | None:
        for other in self.tables.records.values():
            same = (other.organization_id, other.task_key) == (record.organization_id, record.active_key)
            if same and record.active_key is not None:
                return other
        return None


class HeldAcrossOrganizations(MemoryMutant):
    def holder(self, record: TaskRecord) -> TaskRecord | None:
        for other in self.tables.records.values():
            if record.active_key is not None and other.active_key == record.active_key:
                return other
        return None


class KeyHeldAfter(MemoryMutant):
    """Does not free the key at one of the ends."""

    ending = statuses.FAILED

    def holder(self, record: TaskRecord) -> TaskRecord | None:
        for other in self.tables.records.values():
            same = (other.organization_id, other.task_key) == (record.organization_id, record.active_key)
            if same and record.active_key is not None and (other.active_key or other.status == self.ending):
                return other
        return None


class FailedHolds(KeyHeldAfter):
    ending = statuses.FAILED


class InterruptedHolds(KeyHeldAfter):
    ending = statuses.INTERRUPTED


class WaitingDoesNotHold(MemoryMutant):
    def holder(self, record: TaskRecord) -> TaskRecord | None:
        holder = super().holder(record)
        return None if holder is not None and holder.status == statuses.WAITING_CONFIRMATION else holder


class PendingDoesNotHold(MemoryMutant):
    def holder(self, record: TaskRecord) -> TaskRecord | None:
        holder = super().holder(record)
        return None if holder is not None and holder.status == statuses.PENDING else holder


class UnkeyedMerge(MemoryMutant):
    def holder(self, record: TaskRecord) -> TaskRecord | None:
        for other in self.tables.records.values():
            same = (other.organization_id, other.active_key) == (record.organization_id, record.active_key)
            if same and other.status in statuses.ACTIVE and record.status in statuses.ACTIVE:
                return other
        return None


class LoserGetsAnUnknownId(MemoryMutant):
    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        standing = super().store_create(record, deadline)
        return standing if standing.id == record.id else standing._replace(id=str(uuid.uuid4()))


class MergeOverwrites(MemoryMutant):
    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        standing = super().store_create(record, deadline)
        if standing.id != record.id:
            self.replace(standing, checkpoint=record.checkpoint, label=record.label)
        return standing


class HeldByLookAlikes(MemoryMutant):
    def holder(self, record: TaskRecord) -> TaskRecord | None:
        for other in self.tables.records.values():
            if None in (record.active_key, other.active_key) or other.organization_id != record.organization_id:
                continue
            if str(other.active_key).strip().casefold() == str(record.active_key).strip().casefold():
                return other
        return None


class KeyFreedLater(MemoryMutant):
    """Frees the key of an ended task 5 ms after the end was acknowledged."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.freed_at: dict[tuple[str, str | None], tuple[float, TaskRecord]] = {}

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        row = super().store_update(task_id, organization, change, deadline)
        if row is not None and change.ends:
            record = self.tables.records[task_id]
            self.freed_at[record.organization_id, record.task_key] = (time.monotonic() + 0.005, record)
        return row

    def holder(self, record: TaskRecord) -> TaskRecord | None:
        until, ended = self.freed_at.get((record.organization_id, record.active_key), (0.0, None))
        return ended if time.monotonic() < until else super().holder(record)


class SameIdIsALoss(MemoryMutant):
    def create(self, task: Task, **kwargs: Any) -> tuple[Task, bool]:
        known = task.id in self.tables.records
        holder, created = super().create(task, **kwargs)
        return holder, created and not known


class ImportIgnoresHeldKeys(MemoryMutant):
    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        fresh = [record for record in records if self.holder(record) is None]
        return super().store_import(fresh, deadline)


# --- States and fields ------------------------------------------------------------------------------------------------

Update = Callable[[TaskRecord, Change], dict[str, Any]]


class ChangedUpdates(MemoryMutant):
    """Stores whose updates go through `planned`, a change made for the record as it stands."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        record = self.tables.records.get(task_id)
        planned = change if record is None else self.planned(record, change)
        return super().store_update(task_id, organization, planned, deadline)

    def planned(self, record: TaskRecord, change: Change) -> Change:
        raise NotImplementedError


def with_fields(change: Change, allowed: tuple[str, ...], **fields: Any) -> Change:
    return Change(change.now, allowed, {**change.fields, **fields}, change.starts, change.ends)


class ProgressAfterTheEnd(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        return change if "status" in change.fields else with_fields(change, tuple(statuses.STATUSES))


class AnyMoveIsLegal(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        return with_fields(change, statuses.ACTIVE) if "status" in change.fields else change


class UpdateMovesCreation(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        return with_fields(change, change.allowed, created_at=change.now)


class CancelOverwritesCompleted(MemoryMutant):
    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        record = self.tables.records.get(task_id)
        cancels = change.fields.get("status") == statuses.INTERRUPTED
        if cancels and record is not None and record.status == statuses.COMPLETED:
            return self.replace(record, **change.fields)
        return super().store_update(task_id, organization, change, deadline)


class CheckpointMerged(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        old, new = (json.loads(text or "null") for text in (record.checkpoint, change.fields.get("checkpoint")))
        if isinstance(old, dict) and isinstance(new, dict):
            return with_fields(change, change.allowed, checkpoint=json.dumps({**old, **new}))
        return change


class LabelErasesCheckpoint(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        return with_fields(change, change.allowed, checkpoint=None) if set(change.fields) == {"label"} else change


class UpdatedAtGoesBack(MemoryMutant):
    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        row = super().store_update(task_id, organization, change, deadline)
        return row and self.replace(self.tables.records[task_id], updated_at=change.now)


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


class StartedAgain(MemoryMutant):
    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        row = super().store_update(task_id, organization, change, deadline)
        return row and self.replace(self.tables.records[task_id], started_at=change.now) if change.starts else row


class WholeRowWritten(MemoryMutant):
    """Reads the record, thinks for 5 ms, and writes all of it back; only a change of status is right."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        read = self.tables.records.get(task_id)
        if read is None or "status" in change.fields or read.status not in change.allowed:
            return super().store_update(task_id, organization, change, deadline)
        time.sleep(0.005)
        return self.replace(read, **change.fields, updated_at=max(change.now, read.updated_at + 1))


class GuardOutsideTheStatement(MemoryMutant):
    """Looks at the status, thinks for 5 ms, and writes whatever it is by then."""

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
