"""The primitives that a backend writes: about a dozen small methods, and what each must guarantee.

`deadline` is on the clock of `time.monotonic()`. A primitive may raise the driver's errors: `translate_error` turns
them into errors of module-sdk, with the driver's error as the cause. The base class has already checked the arguments:
texts fit, scopes are stored texts, a task id is a UUID. Text must always be compared by its bytes.
"""

from __future__ import annotations

import abc
import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

from module_sdk.domain.changes import Change
from module_sdk.domain.query import Query, Sort
from module_sdk.domain.record import TaskRecord
from module_sdk.domain.timestamps import Clock, system_clock
from module_sdk.errors import (
    ConfigurationError,
    ModuleSDKError,
    SchemaMissingError,
    TaskBackendError,
    TaskBackendUnavailableError,
    TaskConflictError,
)
from module_sdk.store.capabilities import Capabilities
from module_sdk.store.diagnostics import Diagnosis, Explanation
from module_sdk.store.open_once import OpenOnce
from module_sdk.store.options import ManagerOptions
from module_sdk.store.urls import StoreURL

logger = logging.getLogger("module_sdk.tasks")

StoredRows = Sequence[Sequence[Any] | None]
"""Rows in the order of `ROW_FIELDS`; `None` means a record that cannot be decoded. The caller may empty a list."""


class StorePrimitives(abc.ABC):
    """The interface between `TaskManager`, which contains every rule, and one store."""

    capabilities: Capabilities = Capabilities()
    """The capabilities of this manager. A backend may set them in `store_open` and must not change them afterwards."""

    url: StoreURL
    options: ManagerOptions
    clock: Clock
    opening: OpenOnce

    @abc.abstractmethod
    def store_open(self, create: bool, deadline: float) -> None:
        """Connect and check the schema. If `create` is true, create or upgrade it.

        This is called again after a failure and by `setup`, so it must be idempotent and safe for several processes at
        once. It must raise `missing_schema()` if `create` is false and the schema, or the database or folder that would
        contain it, is missing. It must raise `newer_schema(found, known)` if the schema is newer than this code
        (SEE-06).
        """

    @abc.abstractmethod
    def store_ping(self, deadline: float) -> None:
        """Make one round trip to the store."""

    @abc.abstractmethod
    def store_close(self) -> None:
        """Release all resources. This is called once, even if nothing was ever opened."""

    @abc.abstractmethod
    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        """Insert the record unless its id exists or its `(organization_id, active_key)` has a holder.

        Return, in this order: the existing record with the same id; else the active holder of the key (a `None` key
        never has a holder); else the record itself, durably inserted. This is one atomic step: of any number of racing
        calls with one key exactly one gets its own record back, and a holder that ends meanwhile must cause neither a
        failure nor a second insert.

        The same step decides the times of an inserted record, and the returned record has them. With a server and
        `keeps_server_time`, each time is first brought within `CLOCK_TOLERANCE` of the server's clock. Then, if the
        record has a key, `created_at` becomes the later of its own value and one more than the latest `created_at` of
        that organization and key. Ended tasks count too. Tasks that are more than `CLOCK_TOLERANCE` ahead of the
        server's clock do not count, nor, where that clock is not used, tasks after `record.horizon()`. The other times
        must not be before the new `created_at`.
        """

    @abc.abstractmethod
    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        """Insert the records unchanged and in order, and return how many were inserted.

        Skip ids that exist, even if that task is the holder of the key. Raise `TaskConflictError` at the first record
        with a new id whose `active_key` has a holder; the records before it stay.
        """

    @abc.abstractmethod
    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        """Return the record with that id if it is in the organization (`None` means any), else `None`."""

    @abc.abstractmethod
    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        """Return the rows of that organization and user: all, or the first `limit`.

        The order is newest `created_at` first, ties by `id` descending. The answer must be served by an index, must
        read no payloads, write nothing, and never be partial. The same is required of the two finds below.
        """

    @abc.abstractmethod
    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        """Return the rows of that organization and key, with order, limit and cost as in `store_find_by_user`."""

    @abc.abstractmethod
    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        """Return the rows with `start <= key` and, unless `end` is `None`, `key < end`. Absent keys never match."""

    @abc.abstractmethod
    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        """Apply `change` if the task is in the scope and its status in `change.allowed`. Return the new row or `None`.

        One atomic step sets `change.fields`, and sets `updated_at` to the later of `change.now` and one more than the
        stored `updated_at`. If `change.starts`, it sets a `started_at` of `None` to the same time. If `change.ends`, it
        sets `finished_at` to the same time and `active_key` to `None`. It must never insert, and never write any other
        field. With a server and `keeps_server_time`, `change.now` is first brought within `CLOCK_TOLERANCE` of the
        server's clock.
        """

    @abc.abstractmethod
    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        """Return at most `limit` rows that meet all conditions, in the order of `sort`, from `offset` on."""

    @abc.abstractmethod
    def store_count(self, query: Query, deadline: float) -> int:
        """Return the number of tasks that meet all conditions."""

    @abc.abstractmethod
    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        """Remove at most `batch_size` ended tasks with `updated_at < before` and all their data. Return how many.

        A result below `batch_size` means that none are left. The same atomic step must test the status (KEEP-04).
        """

    # --- Optional primitives ------------------------------------------------------------------------------------

    def store_explain(
        self, operation: str, arguments: Sequence[str | None], limit: int | None, deadline: float
    ) -> Explanation:
        """Explain how the store serves that lookup with these arguments. Required for the capability `explain`."""
        raise NotImplementedError("store_explain")

    def store_diagnose(self, deadline: float) -> Diagnosis:
        """Return facts and warnings for `doctor`. The default returns none."""
        return Diagnosis()

    def store_update_many(
        self, task_ids: Sequence[str], organization: str | None, change: Change, deadline: float
    ) -> int:
        """Do `store_update` for each of these ids, which differ, and return how many tasks changed.

        The tasks need not change in one step; on an error any of them may have changed. A backend that needs fewer
        round trips or commits for this overrides it.
        """
        return sum(self.store_update(task_id, organization, change, deadline) is not None for task_id in task_ids)

    def store_after_fork(self) -> None:  # noqa: B027  # optional: embedded stores need none
        """Drop the parent's connections without touching them. Called in a forked child before any other call."""

    def is_unavailable(self, error: Exception) -> bool:
        """Return whether the driver's error says that the store is away or late."""
        return False

    def is_missing_schema(self, error: Exception) -> bool:
        """Return whether the driver's error says that a table or collection does not exist (SEE-10)."""
        return False

    def setup_fault(self, error: Exception) -> str | None:
        """Return the fault that the operator must correct, if the driver's error says so; else `None`.

        Such a fault is a wrong password, a missing right, or a database that does not exist. This is called for
        errors of `store_open`, and the result becomes the text of a `ConfigurationError` (DISC-10).
        """
        return None

    def translate_error(self, error: Exception) -> ModuleSDKError:
        """Return the error of module-sdk for an error of the driver, by the answers of the three methods above."""
        if self.is_missing_schema(error):
            return self.missing_schema()
        kind = TaskBackendUnavailableError if self.is_unavailable(error) else TaskBackendError
        return kind(self.describe_error(error))

    # --- Helpers that backends call -----------------------------------------------------------------------------

    @property
    def keeps_server_time(self) -> bool:
        """Whether the server's clock limits the times of writes. False if the manager was opened with its own clock."""
        return self.clock is system_clock

    def describe_error(self, error: BaseException) -> str:
        """Return `Type: message` of a driver's error, with the URL's passwords masked (DISC-03)."""
        return f"{type(error).__name__}: {self.url.scrub(str(error))}"

    def key_is_held(self, task_id: str) -> TaskConflictError:
        """Return the error of an import whose active task has the key of another active task (DEDUP-09)."""
        return TaskConflictError(f"the key of the active task {task_id} is held by another task")

    def declare_durability(self, durable: bool) -> None:
        """Set the capability `durable`. Call this in a `store_open` that reads it from the server's settings.

        This logs no warning, because each process would repeat it. `doctor` and the documentation say what can be lost
        with each setting.
        """
        self.capabilities = dataclasses.replace(self.capabilities, durable=durable)
        if not durable:
            logger.info("%s does not count as durable: 'module-sdk doctor' says why", self.url)

    def missing_schema(self) -> SchemaMissingError:
        """Return the error that `store_open` raises if the schema is missing and must not be created.

        Any other primitive must raise it too when it finds that the store was emptied. Every later call then opens the
        store again, without creating anything, until the schema exists (SEE-10).
        """
        if self.opening.was_open:
            return SchemaMissingError(
                f"the schema is gone from the store at {self.url}, namespace {self.options.namespace!r}, which this "
                "process has used before: restore the store, or run 'module-sdk setup'"
            )
        return SchemaMissingError(
            f"the store at {self.url} has no schema for the namespace {self.options.namespace!r}: "
            "run 'module-sdk setup'"
        )

    def newer_schema(self, found: object, known: int) -> ConfigurationError:
        """Return the error that `store_open` raises for a schema that a later version wrote."""
        return ConfigurationError(
            f"the schema of {self.url} has version {found}, this module-sdk knows {known}: upgrade module-sdk"
        )
