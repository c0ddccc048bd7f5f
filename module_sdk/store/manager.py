"""The abstract `TaskManager`, which contains every rule of the contract once for all stores.

Its public methods are concrete: they check arguments, enforce the maximums, decide which moves are legal, and build
rows. The methods that read are in `manager_reads.py`. A backend subclasses `TaskManager` and writes the `store_…`
methods of `primitives.py`; the suite `module_sdk_contract` tests it.
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
# Another writer may prevent an update, and make the move legal again before the check that follows.
MAXIMUM_UPDATE_ATTEMPTS: Final = 10


class TaskManager(ManagerReads):
    """The tasks of one store. Its methods raise on failure; only the lookups of the facade never do.

    A manager may be used by many threads and in a forked child. Every public method has an argument `timeout_seconds`,
    the longest time it may take (default: `options.timeout_seconds`). It raises `TaskBackendUnavailableError` if the
    store cannot be reached or does not answer in time, `TaskBackendError` for other failures and after `close`,
    `InvalidInputError` for arguments of a wrong type, and `ConfigurationError` if first use finds no usable schema.
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        """Raise `TypeError` if the subclass hides a method of this class by accident."""
        super().__init_subclass__(**keywords)
        check_overrides(cls, TaskManager)

    def __init__(self, url: str, options: ManagerOptions | None = None) -> None:
        """Check the URL and the options. An override must not touch the network: `store_open` connects.

        Args:
            url: The URL of the store. Its passwords are never shown.
            options: The options that were passed to `open_manager`; by default none.

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

    # --- Opening, checking and closing ------------------------------------------------------------------------------

    def setup(self, *, timeout_seconds: float | None = None) -> None:
        """Create or upgrade the schema. Safe to repeat and to call from several processes at once (DISC-04).

        Args:
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Raises:
            ConfigurationError: The schema is newer than this version of module-sdk.
            TaskBackendError: The store failed, or could not be reached (`TaskBackendUnavailableError`).
        """
        self.opening.open_now(
            lambda deadline: self.call(self.open_or_explain, True, deadline), self.deadline(timeout_seconds), again=True
        )

    def ping(self, *, timeout_seconds: float | None = None) -> None:
        """Make one round trip to the store (DISC-07).

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
        """Return the report of `module-sdk doctor`: versions, schema, durability, and warnings about settings.

        Args:
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Raises:
            TaskBackendError: The store failed, or could not be reached (`TaskBackendUnavailableError`).
        """
        return self.call_open(self.store_diagnose, self.deadline(timeout_seconds)).with_clock()

    # --- Writes -----------------------------------------------------------------------------------------------------

    def create(self, task: Task, *, timeout_seconds: float | None = None) -> tuple[Task, bool]:
        """Record a task, unless its organization has an active task with the same key.

        This is atomic across threads, processes and hosts (DEDUP). A call whose reply was lost may be repeated: it then
        returns the recorded task and `True`.

        Args:
            task: The task to record.
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Returns:
            The task and `True`, or the holder of the key and `False`. The recorded task has the times that the store
            chose: later than every earlier task of its key (ORDER-10), and close to the server's clock (ORDER-12).

        Raises:
            PayloadError: The arguments, checkpoint or result are not JSON or are too large.
            TaskConflictError: Another task has the id.
            TaskBackendError: The store failed, or could not be reached (`TaskBackendUnavailableError`).
        """
        record = task.to_record(self.options.maximum_payload_bytes)
        stored = self.call_open(self.store_create, record, self.deadline(timeout_seconds))
        if stored is record or stored == record:
            return task.as_recorded(record), True
        holder = Task.from_record(stored)
        if holder.id != task.id:
            return holder, False
        # `created_at` is not compared: the store may have moved it.
        fixed = ("user_id", "organization_id", "task_key", "module")
        if any(getattr(holder, field) != getattr(task, field) for field in fixed):
            raise TaskConflictError(f"the id {task.id} belongs to another task")
        return holder, True

    def import_tasks(self, tasks: Iterable[Task], *, timeout_seconds: float | None = None) -> int:
        """Write tasks exactly as they are, and skip ids that exist. Safe to repeat.

        Args:
            tasks: Any number of tasks, which are read in batches, so that memory does not grow.
            timeout_seconds: How long a batch of 500 may take; default: `options.timeout_seconds`.

        Returns:
            The number of tasks that were written.

        Raises:
            TaskConflictError: An active task has a key that has another holder. The tasks before it stay (DEDUP-09).
            PayloadError: A payload is not JSON or is too large.
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
        """Change the given fields and nothing else, in one atomic step (LIFE-08).

        Example:
            manager.update(task_id, status="completed", result={"rows": 2})

        Args:
            task_id: The task's id.
            organization_id: Only a task of exactly this organization. `ANY`, the default, means every organization.
            status: The status to move to; `statuses.LEGAL_MOVES` lists the moves.
            progress: A fraction from 0 to 1. The status `completed` sets it to 1.
            label: At most 1,024 bytes of UTF-8.
            checkpoint: JSON.
            result: JSON.
            error: Text; it is cut at 64 KiB.
            confirmation: JSON. A move to any status but `waiting_confirmation` removes it, unless it is given here.
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Returns:
            The row after the change, or `None` for an unknown id.

        Raises:
            IllegalTransitionError: The task has ended, or its status does not allow the move.
            InvalidInputError: No task can have a value (`PayloadError`: it is not JSON), or no field is given.
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
        # The id must be an exact `str`, since drivers may not know other types of ids.
        task_id = task_id_text(task_id)
        if not is_task_id(task_id) or not scope_is_possible(scope):
            return None
        deadline = self.deadline(timeout_seconds)
        for _ in range(MAXIMUM_UPDATE_ATTEMPTS):
            stored = self.call_open(self.store_update, task_id, scope, change, deadline) if change.allowed else None
            if stored is not None:
                return self.call(row_from_stored, stored)
            current = self.call_open(self.store_get, task_id, scope, deadline)
            if current is None:
                return None
            if current.status not in change.allowed:
                raise IllegalTransitionError(task_id, status=current.status, wanted=change.fields.get("status"))
        raise TaskBackendError(f"other writers changed task {task_id} {MAXIMUM_UPDATE_ATTEMPTS} times in a row")

    def interrupt_all(self, task_ids: Iterable[str], error: str, *, timeout_seconds: float | None = None) -> int:
        """End those of the given tasks that are active, in every organization, as `interrupted` (LIFE-11).

        Args:
            task_ids: The ids of the tasks. Unknown ids are ignored.
            error: The reason, for people to read.
            timeout_seconds: How long the call may take; default: `options.timeout_seconds`.

        Returns:
            The number of tasks that this call ended.

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
        """Remove ended tasks that have not changed for some time, in batches (KEEP).

        Args:
            older_than_seconds: The minimum time since the last change, by this manager's clock.
            organization_id: Only tasks of exactly this organization. `ANY`, the default, means every organization.
            user_id: Only tasks of this user. `ANY`, the default, means every user.
            batch_size: The maximum number of tasks to remove in one step, 1 to 10,000.
            timeout_seconds: How long a batch may take; default: `options.timeout_seconds`.

        Returns:
            The number of tasks that were removed.

        Raises:
            InvalidInputError: An argument has a wrong type or is out of range.
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
