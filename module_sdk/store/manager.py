"""The abstract `TaskManager`: every rule of the contract, written once for all stores.

The public methods are concrete: they check arguments, apply the maximums, decide which moves are legal and build rows.
Those that read are in `manager_reads.py`. A backend subclasses `TaskManager` and writes the `store_…` methods of
`primitives.py`; `module_sdk_contract` proves it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any, Final

from module_sdk.domain.changes import plan_change
from module_sdk.domain.query import check_count
from module_sdk.domain.rows import row_from_stored
from module_sdk.domain.scopes import optional_scope, scope_is_possible
from module_sdk.domain.sentinels import ANY, UNSET, Anything, Unset
from module_sdk.domain.shapes import AnyTaskId, Identifier, TaskRow, TaskStatus
from module_sdk.domain.statuses import INTERRUPTED
from module_sdk.domain.task import Task
from module_sdk.domain.text_rules import (
    identifier_text,
    is_task_id,
    plain_text,
    task_id_text,
)
from module_sdk.errors import (
    IllegalTransitionError,
    InvalidInputError,
    TaskBackendError,
    TaskConflictError,
)
from module_sdk.store.diagnostics import Diagnosis
from module_sdk.store.manager_reads import ManagerReads
from module_sdk.store.options import ManagerOptions
from module_sdk.store.overrides import check_overrides
from module_sdk.store.store_calls import managers
from module_sdk.store.urls import StoreURL

MAXIMUM_BATCH: Final = 10_000
IMPORT_BATCH: Final = 500
# A guarded statement can lose to another writer and find, on looking, that the move has become legal again.
ATTEMPTS: Final = 10


class TaskManager(ManagerReads):
    """Task state in one store. Raises for failures; only the facade is soft.

    Safe from many threads, and in a forked child. Every public method takes `timeout_seconds`, how long it may take
    (default: `options.timeout_seconds`), and raises `TaskBackendUnavailableError` when the store cannot be reached or
    does not answer in time, `TaskBackendError` for its other failures and after `close`, `InvalidInputError` for
    arguments of a wrong type, and `ConfigurationError` when first use finds no usable schema.
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Raise `TypeError` for a method that hides one of this class by accident."""
        super().__init_subclass__(**keywords)
        check_overrides(cls, TaskManager)

    def __init__(self, url: str, options: ManagerOptions | None = None) -> None:
        """Check the URL and the options. Must touch no network: connecting is `store_open`'s work.

        Args:
            url: Of the store; its passwords are never shown.
            options: What `open_manager` was given. The default: no options.

        Raises:
            ConfigurationError: The URL cannot be read.
        """
        self.options = options or ManagerOptions()
        self.url = StoreURL.parse(url).hiding(self.options.secrets())
        self.clock = self.options.clock
        self.opening = self.new_opening()
        managers.add(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url} namespace={self.options.namespace}>"

    # --- Life -------------------------------------------------------------------------------------------------------

    def setup(self, *, timeout_seconds: float | None = None) -> None:
        """Create or upgrade the schema. May be repeated, and called by several processes at once (DISC-04).

        Args:
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Raises:
            ConfigurationError: The schema is newer than this version of module-sdk.
            TaskBackendError: The store failed, or could not be reached (`TaskBackendUnavailableError`).
        """
        self.opening.open_now(
            lambda deadline: self.call(self.store_open, True, deadline), self.deadline(timeout_seconds), again=True
        )

    def ping(self, *, timeout_seconds: float | None = None) -> None:
        """Ask the store for an answer, and return when it comes (DISC-07).

        Args:
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Raises:
            TaskBackendError: The store failed, or could not be reached (`TaskBackendUnavailableError`).
        """
        self.call_open(self.store_ping, self.deadline(timeout_seconds))

    def close(self) -> None:
        """Release every connection (DISC-06). A second call does nothing; any other call raises `TaskBackendError`."""
        if self.opening.close():
            self.call(self.store_close)

    def diagnose(self, *, timeout_seconds: float | None = None) -> Diagnosis:
        """Return what `module-sdk doctor` shows: versions, schema, durability, and warnings about the store's settings.

        Args:
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Raises:
            TaskBackendError: The store failed, or could not be reached (`TaskBackendUnavailableError`).
        """
        return self.call_open(self.store_diagnose, self.deadline(timeout_seconds))

    # --- Writes -----------------------------------------------------------------------------------------------------

    def create(self, task: Task, *, timeout_seconds: float | None = None) -> tuple[Task, bool]:
        """Record a task, unless its organization has an active task of the same key.

        Atomic across threads, processes and hosts (DEDUP). A call whose reply was lost may be repeated: it returns the
        recorded task and `True`.

        Args:
            task: The task to record.
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Returns:
            The task and `True`, or the active task of that key and `False`. The times of a recorded task are those
            that the store chose: later than every earlier task of its key (ORDER-10), close to the server's clock
            (ORDER-12).

        Raises:
            PayloadError: The arguments, checkpoint or result are not JSON, or too large.
            TaskConflictError: The id is another task's.
            TaskBackendError: The store failed, or could not be reached (`TaskBackendUnavailableError`).
        """
        record = task.to_record(self.options.maximum_payload_bytes)
        stored = self.call_open(self.store_create, record, self.deadline(timeout_seconds))
        if stored is record or stored == record:
            return task.as_recorded(record), True
        holder = Task.from_record(stored)
        if holder.id != task.id:
            return holder, False
        # Not created_at: the store may have moved it.
        fixed = ("user_id", "organization_id", "task_key", "module")
        if any(getattr(holder, field) != getattr(task, field) for field in fixed):
            raise TaskConflictError(f"the id {task.id} belongs to another task")
        return holder, True

    def import_tasks(self, tasks: Iterable[Task], *, timeout_seconds: float | None = None) -> int:
        """Write tasks exactly as they are, and skip the ids that exist. May be repeated.

        Args:
            tasks: Any number of them: memory does not grow with it.
            timeout_seconds: How long a batch of 500 may take; default: `options.timeout_seconds`.

        Returns:
            How many were written.

        Raises:
            TaskConflictError: Another active task has the key of an active one. Those before it stay (DEDUP-09).
            PayloadError: A payload is not JSON, or too large.
            TaskBackendError: The store failed, or could not be reached (`TaskBackendUnavailableError`).
        """
        written = 0
        records = (task.to_record(self.options.maximum_payload_bytes) for task in tasks)
        while batch := list(itertools.islice(records, IMPORT_BATCH)):
            written += self.call_open(self.store_import, batch, self.deadline(timeout_seconds))
        return written

    def update(
        self,
        task_id: AnyTaskId,
        *,
        organization_id: Identifier | Anything | None = ANY,
        status: TaskStatus | Unset = UNSET,
        progress: float | Unset = UNSET,
        label: str | Unset = UNSET,
        checkpoint: object = UNSET,
        result: object = UNSET,
        error: str | Unset | None = UNSET,
        confirmation: object = UNSET,
        timeout_seconds: float | None = None,
    ) -> TaskRow | None:
        """Change the named fields and nothing else (LIFE-08), in one atomic step.

        Example:
            manager.update(task_id, status="completed", result={"rows": 2})

        Args:
            task_id: The task's id.
            organization_id: Only a task of exactly this organization. `ANY`, the default, is every organization.
            status: The status to move to; `statuses.LEGAL_MOVES` lists the moves.
            progress: A fraction, from 0 to 1. `completed` makes it 1.
            label: At most 1,024 bytes of UTF-8.
            checkpoint: JSON.
            result: JSON.
            error: Text; what is longer than 64 KiB is cut.
            confirmation: JSON. It is removed by every other move.
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Returns:
            The row after the change; `None` for an unknown id.

        Raises:
            IllegalTransitionError: The task has ended, or its status does not allow the move.
            InvalidInputError: A value is one that no task can have (`PayloadError`: no JSON), or no field is named.
            TaskBackendError: The store failed, or could not be reached (`TaskBackendUnavailableError`).
        """
        change = plan_change(
            now=self.clock(),
            maximum_payload_bytes=self.options.maximum_payload_bytes,
            status=status,
            progress=progress,
            label=label,
            checkpoint=checkpoint,
            result=result,
            error=error,
            confirmation=confirmation,
        )
        scope = optional_scope(organization_id)
        # An exact text from here on: drivers need not know what else may be an id.
        task_id = task_id_text(task_id)
        if not is_task_id(task_id) or not scope_is_possible(scope):
            return None
        deadline = self.deadline(timeout_seconds)
        for _ in range(ATTEMPTS):
            stored = self.call_open(self.store_update, task_id, scope, change, deadline) if change.allowed else None
            if stored is not None:
                return self.call(row_from_stored, stored)
            current = self.call_open(self.store_get, task_id, scope, deadline)
            if current is None:
                return None
            if current.status not in change.allowed:
                raise IllegalTransitionError(task_id, status=current.status, wanted=change.fields.get("status"))
        raise TaskBackendError(f"task {task_id} was changed by others {ATTEMPTS} times in a row")

    def interrupt_all(self, task_ids: Iterable[str], error: str, *, timeout_seconds: float | None = None) -> int:
        """End those of these tasks that are active as `interrupted`, in every organization (LIFE-11).

        Args:
            task_ids: Their ids; unknown ones are passed over.
            error: Why, for people to read.
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Returns:
            How many tasks this call ended.

        Raises:
            TaskBackendError: The store failed, or could not be reached. Any of the tasks may have ended.
        """
        change = plan_change(
            now=self.clock(),
            maximum_payload_bytes=self.options.maximum_payload_bytes,
            status=INTERRUPTED,
            progress=UNSET,
            label=UNSET,
            checkpoint=UNSET,
            result=UNSET,
            error=error,
            confirmation=UNSET,
        )
        ids = sorted({task_id for task_id in task_ids if is_task_id(plain_text(task_id, "task_id"))})
        if not ids:
            return 0
        return self.call_open(self.store_update_many, ids, None, change, self.deadline(timeout_seconds))

    def prune(
        self,
        older_than_seconds: float,
        *,
        organization_id: Identifier | Anything | None = ANY,
        user_id: Identifier | Anything = ANY,
        batch_size: int = 1_000,
        timeout_seconds: float | None = None,
    ) -> int:
        """Remove tasks that have ended and were last changed long ago, in batches (KEEP).

        Args:
            older_than_seconds: How long ago that was at least, by this manager's clock.
            organization_id: Only tasks of exactly this organization. `ANY`, the default, is every organization.
            user_id: Only tasks of this user. `ANY`, the default, is every user.
            batch_size: The largest number of tasks to remove in one step, 1 to 10,000.
            timeout_seconds: How long a batch may take; default: `options.timeout_seconds`.

        Returns:
            How many tasks were removed.

        Raises:
            InvalidInputError: An argument is of a wrong type or out of its bounds.
            TaskBackendError: The store failed, or could not be reached (`TaskBackendUnavailableError`).
        """
        if isinstance(older_than_seconds, bool) or not isinstance(older_than_seconds, int | float):
            raise InvalidInputError("older_than_seconds must be a number", field="older_than_seconds")
        if not older_than_seconds >= 0:
            raise InvalidInputError("older_than_seconds must not be negative", field="older_than_seconds")
        check_count(batch_size, "batch_size", 1, MAXIMUM_BATCH)
        scope = optional_scope(organization_id)
        user = None if user_id is ANY else identifier_text(user_id, "user_id")
        if not scope_is_possible(scope) or not scope_is_possible(user):
            return 0
        before = self.clock() - int(min(older_than_seconds, 1e12) * 1_000_000)
        removed = 0
        while True:
            deadline = self.deadline(timeout_seconds)
            batch = self.call_open(self.store_prune, before, scope, user, batch_size, deadline)
            removed += batch
            if batch < batch_size:
                return removed
