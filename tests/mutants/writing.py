"""Further mutants of creates, imports, updates and prunes."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Sequence
from typing import Any

from module_sdk_memory.manager import Tables

from module_sdk.backends import Change, InvalidInputError, ManagerOptions, TaskConflictError, TaskRecord, statuses
from module_sdk.rows import LookupResult
from module_sdk.text_rules import MAXIMUM_KEY_BYTES, fits
from tests.mutants.bases import MemoryMutant
from tests.mutants.payloads import ChangedPayloads, ChangedUpdates, with_fields

# --- Creates and imports ----------------------------------------------------------------------------------------------


class HeldPerUser(MemoryMutant):
    def holder(self, record: TaskRecord) -> TaskRecord | None:
        holder = super().holder(record)
        return holder if holder is not None and holder.user_id == record.user_id else None


class MergeTouchesTheHolder(MemoryMutant):
    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        standing = super().store_create(record, deadline)
        if standing.id != record.id:
            self.replace(standing, updated_at=max(standing.updated_at + 1, record.created_at))
        return standing


class ImportOverwrites(MemoryMutant):
    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        for record in records:
            known = self.tables.records.get(record.id)
            if known is not None:
                self.tables.records[record.id] = record
        return super().store_import(records, deadline)


class ImportCountsAll(MemoryMutant):
    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        super().store_import(records, deadline)
        return len(records)


class ImportGoesOn(MemoryMutant):
    """Writes what comes after a held key, too."""

    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        written, refused = 0, None
        for record in records:
            try:
                written += super().store_import([record], deadline)
            except TaskConflictError as error:
                refused = error
        if refused is not None:
            raise refused
        return written


class ImportHoldsNothing(MemoryMutant):
    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        written = super().store_import(records, deadline)
        for record in records:
            if self.tables.active.get((record.organization_id, record.active_key or "")) == record.id:
                del self.tables.active[record.organization_id, record.active_key or ""]
        return written


class ImportForgetsTimes(MemoryMutant):
    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        return super().store_import([record._replace(started_at=None) for record in records], deadline)


class FunctionsForgotten(MemoryMutant):
    """Keeps no name of a function for a task that has ended."""

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        record = super().store_get(task_id, organization, deadline)
        return record and record._replace(function=record.function if record.status in statuses.ACTIVE else None)


class NotThreadSafe(MemoryMutant):
    """Keeps what it is about to write where another thread puts its own."""

    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        self.about_to_write = record
        time.sleep(0.005)
        return super().store_create(self.about_to_write, deadline)


class PayloadsUnlimited(MemoryMutant):
    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, ManagerOptions(**{**vars_of(options), "maximum_payload_bytes": 4_194_304}))


class ImpossibleKeyRefused(MemoryMutant):
    def get_tasks_by_key(self, task_key: str, *args: Any, **kwargs: Any) -> LookupResult:
        if isinstance(task_key, str) and not fits(task_key, MAXIMUM_KEY_BYTES):
            raise InvalidInputError("no key is like this", field="task_key")
        return super().get_tasks_by_key(task_key, *args, **kwargs)


def vars_of(options: ManagerOptions) -> dict[str, Any]:
    return {name: getattr(options, name) for name in type(options).__dataclass_fields__}


# --- Payloads ---------------------------------------------------------------------------------------------------------


class NestingFlattened(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return re.sub(r"\[\[+", "[", text) if text.count("[") == text.count("]") == 2 and "[[" in text else text


class NegativeZeroLost(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return "0.0" if text == "-0.0" else text


class WholeFloatsAsIntegers(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return re.sub(r"(?<![\d.eE-])(\d+)\.0(?![\d.eE])", r"\1", text)


class NullsDropped(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return text.replace("[null]", "[]").replace(", null]", "]")


class NulDropped(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return text.replace("\\u0000", "")


class SurrogatesReplaced(ChangedPayloads):
    def changed(self, text: str) -> str | None:
        return re.sub(r"\\ud800(?!\\u)", "?", text)


class ErrorWithoutAstral(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        error = change.fields.get("error")
        if not isinstance(error, str):
            return change
        return with_fields(change, change.allowed, error="".join(c for c in error if c < "\U00010000"))


# --- Updates ----------------------------------------------------------------------------------------------------------


class UpdateForgetsOrganization(MemoryMutant):
    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        return super().store_update(task_id, None, change, deadline)


class GetForgetsOrganization(MemoryMutant):
    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        return super().store_get(task_id, None, deadline)


class StatusErasesCheckpoint(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        keeps = "status" not in change.fields or "checkpoint" in change.fields
        return change if keeps else with_fields(change, change.allowed, checkpoint=None)


class ClearingIgnored(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        kept = {name: value for name, value in change.fields.items() if value is not None}
        return Change(change.now, change.allowed, kept, change.starts, change.ends)


class ProgressNeverFalls(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        progress = change.fields.get("progress")
        if progress is None:
            return change
        return with_fields(change, change.allowed, progress=max(progress, record.progress))


class CompletedKeepsProgress(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        if change.fields.get("status") != statuses.COMPLETED:
            return change
        return with_fields(change, change.allowed, progress=record.progress)


class ModuleRewritten(ChangedUpdates):
    def planned(self, record: TaskRecord, change: Change) -> Change:
        return with_fields(change, change.allowed, module="system") if "label" in change.fields else change


class InterruptedNeverFinishes(MemoryMutant):
    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        row = super().store_update(task_id, organization, change, deadline)
        if row is not None and change.fields.get("status") == statuses.INTERRUPTED:
            self.replace(self.tables.records[task_id], finished_at=None)
        return row


class UpdatedAtStandsStill(MemoryMutant):
    """The later of the clock and the stored time, without the microsecond."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        before = self.tables.records.get(task_id)
        row = super().store_update(task_id, organization, change, deadline)
        if row is None or before is None:
            return row
        return self.replace(self.tables.records[task_id], updated_at=max(change.now, before.updated_at))


class ProgressOverCancel(MemoryMutant):
    """Decides by a status that it read 5 ms ago, for progress alone, and writes the status back with it."""

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


# --- Prunes -----------------------------------------------------------------------------------------------------------


class ChangedPrune(MemoryMutant):
    """Prunes what `is_old` says, of the tasks that `is_meant` says."""

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        with self.tables.lock:
            old = self.batch(before, organization, user, batch_size)
            for record in old:
                self.remove(record)
            return len(old)

    def batch(self, before: int, organization: str | None, user: str | None, batch_size: int) -> list[TaskRecord]:
        return [
            record
            for record in self.tables.records.values()
            if self.is_old(record, before) and self.is_meant(record, organization, user)
        ][:batch_size]

    def is_meant(self, record: TaskRecord, organization: str | None, user: str | None) -> bool:
        return organization in (None, record.organization_id) and user in (None, record.user_id)

    def is_old(self, record: TaskRecord, before: int) -> bool:
        return record.status in statuses.FINAL and record.updated_at < before

    def remove(self, record: TaskRecord) -> None:
        self.tables.remove(record)


class PruneByCreation(ChangedPrune):
    def is_old(self, record: TaskRecord, before: int) -> bool:
        return record.status in statuses.FINAL and record.created_at < before


class PruneTakesTheBorder(ChangedPrune):
    def is_old(self, record: TaskRecord, before: int) -> bool:
        return record.status in statuses.FINAL and record.updated_at <= before


class PruneSparesInterrupted(ChangedPrune):
    def is_old(self, record: TaskRecord, before: int) -> bool:
        return super().is_old(record, before) and record.status != statuses.INTERRUPTED


class PruneFreesTheKey(ChangedPrune):
    """Takes the key of a pruned run from whoever holds it now."""

    def remove(self, record: TaskRecord) -> None:
        super().remove(record)
        self.tables.active.pop((record.organization_id, record.task_key or ""), None)


class PruneForgetsUser(MemoryMutant):
    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        return super().store_prune(before, organization, None, batch_size, deadline)


class PruneMiscounts(MemoryMutant):
    def prune(self, *args: Any, **kwargs: Any) -> int:
        return min(1, super().prune(*args, **kwargs))


class PruneCrossesNamespaces(MemoryMutant):
    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        removed, own = 0, self.tables
        for tables in list(self.shared_tables.values()):
            self.tables = tables
            removed += super().store_prune(before, organization, user, batch_size, deadline)
        self.tables = own
        return min(removed, batch_size - 1)


class PruneSwapsTheStore(MemoryMutant):
    """Copies what is to stay, thinks for 5 ms, and puts the copy in the place of the store."""

    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        kept, old = Tables(), 0
        with self.tables.lock:
            records = list(self.tables.records.values())
        for record in records:
            if record.status in statuses.FINAL and record.updated_at < before:
                old += 1
            else:
                kept.put(record)
        time.sleep(0.005)
        with self.tables.lock:
            for name in ("records", "active", "by_user", "by_key"):
                setattr(self.tables, name, getattr(kept, name))
        return min(old, batch_size - 1)


class LeaksThreads(MemoryMutant):
    """Leaves a thread behind at each failure."""

    def translate_error(self, error: Exception) -> Any:
        threading.Thread(target=time.sleep, args=(8,), daemon=True).start()
        return super().translate_error(error)


class CheckpointTwice(ChangedPayloads):
    """Encodes what is encoded already, where it holds a quote."""

    def changed(self, text: str) -> str | None:
        return json.dumps(text) if text == '"null"' else text
