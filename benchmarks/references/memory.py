"""Tasks in dictionaries and sorted lists: the simplest code that returns the rows of the memory backend."""

from __future__ import annotations

import bisect
import threading
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sortedcontainers import SortedDict

from benchmarks.references.base import Reference
from benchmarks.references.rows import NewTask, Row, encoded, now, rows_of
from module_sdk.domain.record import TaskRecord

Moment = tuple[int, str]


class MemoryReference(Reference):
    def __init__(self, url: str, namespace: str) -> None:
        self.lock = threading.RLock()
        self.records: dict[str, tuple[Any, ...]] = {}
        self.results: dict[str, str | None] = {}
        self.active: dict[tuple[str, str], str] = {}
        self.by_user: defaultdict[tuple[str, str], list[Moment]] = defaultdict(list)
        self.by_key: defaultdict[str, SortedDict[str, list[Moment]]] = defaultdict(SortedDict)

    def list_user_tasks(self, user_id: int, organization_id: int) -> list[Row]:
        with self.lock:
            records = self.records
            moments = self.by_user.get((str(organization_id), str(user_id)), ())
            stored = [records[task_id] for _, task_id in reversed(moments)]
        return rows_of(stored)

    def get_tasks_by_key(self, task_key: str, organization_id: int) -> list[Row]:
        with self.lock:
            records = self.records
            moments = self.by_key[str(organization_id)].get(task_key, ())
            stored = [records[task_id] for _, task_id in reversed(moments)]
        return rows_of(stored)

    def get_tasks_by_key_prefix(self, prefix: str, organization_id: int) -> list[Row]:
        with self.lock:
            records, keys = self.records, self.by_key[str(organization_id)]
            end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
            moments = [moment for key in keys.irange(prefix, end, inclusive=(True, False)) for moment in keys[key]]
            moments.sort(reverse=True)
            stored = [records[task_id] for _, task_id in moments]
        return rows_of(stored)

    def create(self, task: NewTask) -> tuple[Row, bool]:
        with self.lock:
            holder = self.active.get((task.organization, task.key))
            if holder is None:
                self.put(task.columns, None)
            return rows_of([self.records[holder or task.id]])[0], holder is None

    def put(self, columns: Sequence[Any], result: str | None) -> None:
        task_id, _, _, _, _, key, user, organization, created_at, _, active_key = columns
        self.records[task_id] = tuple(columns[:10])
        self.results[task_id] = result
        bisect.insort(self.by_user[organization, user], (created_at, task_id))
        bisect.insort(self.by_key[organization].setdefault(key, []), (created_at, task_id))
        if active_key is not None:
            self.active[organization, active_key] = task_id

    def update_progress(self, task_id: str, organization_id: int, progress: float) -> Row | None:
        with self.lock:
            record = self.records.get(task_id)
            if record is None or record[7] != str(organization_id) or record[3] in ("completed", "failed"):
                return None
            record = self.records[task_id] = (*record[:4], progress, *record[5:9], max(now(), record[9] + 1))
        return rows_of([record])[0]

    def complete(self, task_id: str, organization_id: int, result: object) -> Row | None:
        text = encoded(result)
        with self.lock:
            record = self.records.get(task_id)
            if record is None or record[7] != str(organization_id) or record[3] != "running":
                return None
            moment = max(now(), record[9] + 1)
            record = self.records[task_id] = (*record[:3], "completed", 1.0, *record[5:9], moment)
            self.results[task_id] = text
            del self.active[record[7], record[5]]
        return rows_of([record])[0]

    def load(self, records: Sequence[TaskRecord]) -> None:
        with self.lock:
            for record in records:
                self.put(record[:11], record.result)

    def for_another_thread(self) -> Reference:
        return self

    def close(self) -> None:
        self.records.clear()
