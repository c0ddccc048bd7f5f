"""The primitives that a backend writes: about a dozen small methods, with what each must promise.

`deadline` is on the clock of `time.monotonic()`. A primitive may raise the driver's own errors: `translate_error` makes
them ours, and the driver's stays the cause. Arguments have been checked before: texts fit, scopes are stored texts, a
task id is a UUID. Every text is compared by its bytes.
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
from module_sdk.errors import ConfigurationError, ModuleSDKError, SchemaMissingError, TaskBackendError
from module_sdk.store.capabilities import Capabilities
from module_sdk.store.diagnostics import Diagnosis, Explanation
from module_sdk.store.open_once import OpenOnce
from module_sdk.store.options import ManagerOptions
from module_sdk.store.urls import StoreURL

logger = logging.getLogger("module_sdk.tasks")

StoredRows = Sequence[Sequence[Any] | None]
"""Rows in the order of `ROW_FIELDS`; `None` stands for a record that cannot be taken apart. A list is given away."""


class StorePrimitives(abc.ABC):
    """What stands between `TaskManager`, which holds every rule, and one store."""

    capabilities: Capabilities = Capabilities()
    """What this manager can do; a backend may settle it in `store_open` and not change it afterwards."""

    url: StoreURL
    options: ManagerOptions
    clock: Clock
    opening: OpenOnce

    @abc.abstractmethod
    def store_open(self, create: bool, deadline: float) -> None:
        """Connect and check the schema; with `create`, make or upgrade it. Called again after a failure and by `setup`.

        Must be idempotent and safe from several processes at once. Raises `missing_schema()` when the
        schema, or the place where it would lie, is missing and `create` is false, and `newer_schema(found, known)` when
        it is newer than this code (SEE-06).
        """

    @abc.abstractmethod
    def store_ping(self, deadline: float) -> None:
        """One trip to the store."""

    @abc.abstractmethod
    def store_close(self) -> None:
        """Release everything; called once, and also when nothing was ever opened."""

    @abc.abstractmethod
    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        """Insert, unless the id exists or `(organization_id, active_key)` is held; return what then stands.

        In this order: the record of the same id if there is one; else the active holder of the key (a `None` key is
        never held); else the record itself, durably. One atomic step: of any number of racing calls with one key
        exactly one gets its own record back, and a holder that ends meanwhile leads to no failure or second insert.

        The same step decides the times of a record that goes in, and what is returned has them. With a server,
        and with `keeps_server_time`, each is brought within `CLOCK_TOLERANCE` of its clock. Then, if the record has a
        key, `created_at` is the later of that and one more than the latest `created_at` of that organization and key,
        ended tasks included, of those that are at most `CLOCK_TOLERANCE` ahead of the server's clock, or at most
        `record.horizon()` where that clock does not count. No other time may then be before `created_at`.
        """

    @abc.abstractmethod
    def store_import(self, records: Sequence[TaskRecord], deadline: float) -> int:
        """Insert exactly as given, in order, skipping ids that exist (even if they hold the key); how many went in.

        Raises `TaskConflictError` at the first record of a new id whose `active_key` is held; those before it stay.
        """

    @abc.abstractmethod
    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        """The record of that id, if its organization is the given one (`None`: whatever it is)."""

    @abc.abstractmethod
    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        """Equality of both. Newest `created_at` first, ties by `id` descending; all of them, or the first `limit`.

        Served by an index, reads no payloads, writes nothing, and is never a partial answer. The same holds for the
        two finds below.
        """

    @abc.abstractmethod
    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        """Equality of both; order, limit and cost as `store_find_by_user`."""

    @abc.abstractmethod
    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        """Keys with `start <= key` and, unless `end` is `None`, `key < end`; tasks with no key never match."""

    @abc.abstractmethod
    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        """Apply `change` if the task is in the scope and its status in `change.allowed`; its new row, else `None`.

        One atomic step that sets: `change.fields`; `updated_at` to the later of `change.now` and one more than the
        stored one; if `change.starts` and it is `None`, `started_at` to that same moment; if `change.ends`,
        `finished_at` to that same moment and `active_key` to `None`. Never inserts, and never writes any other field.
        With a server, and `keeps_server_time`, `change.now` is first brought within `CLOCK_TOLERANCE` of its clock.
        """

    @abc.abstractmethod
    def store_page(self, query: Query, sort: Sort, offset: int, limit: int, deadline: float) -> StoredRows:
        """Rows that meet all conditions, sorted as `Sort` says, from `offset`, at most `limit`."""

    @abc.abstractmethod
    def store_count(self, query: Query, deadline: float) -> int:
        """How many tasks meet all conditions."""

    @abc.abstractmethod
    def store_prune(
        self, before: int, organization: str | None, user: str | None, batch_size: int, deadline: float
    ) -> int:
        """Remove at most `batch_size` ended tasks with `updated_at < before`, with all that belongs to them; how many.

        Fewer than `batch_size` means that none are left. The status is tested in the same atomic step (KEEP-04).
        """

    # --- What a backend may write -------------------------------------------------------------------------------

    def store_explain(
        self, operation: str, arguments: Sequence[str | None], limit: int | None, deadline: float
    ) -> Explanation:
        """With the capability `explain`: how the find of that lookup, called with these arguments, is served."""
        raise NotImplementedError("store_explain")

    def store_diagnose(self, deadline: float) -> Diagnosis:
        """Facts and warnings for `doctor`. The default knows none."""
        return Diagnosis()

    def store_update_many(
        self, task_ids: Sequence[str], organization: str | None, change: Change, deadline: float
    ) -> int:
        """`store_update` of each of these different ids; how many were changed. The tasks need not change in one step.

        Written by a backend that can do it in fewer trips or commits. On an error any of them may have been changed.
        """
        return sum(self.store_update(task_id, organization, change, deadline) is not None for task_id in task_ids)

    def store_after_fork(self) -> None:  # noqa: B027  # optional: embedded stores need none
        """In a forked child, before any other call: drop, without touching them, connections that the parent owns."""

    def translate_error(self, error: Exception) -> ModuleSDKError:
        """Ours for the driver's: `TaskBackendUnavailableError` where the store is away or late.

        `missing_schema()` where the driver says that a table or collection does not exist (SEE-10).
        """
        return TaskBackendError(self.describe_error(error))

    # --- For backends to call -----------------------------------------------------------------------------------

    @property
    def keeps_server_time(self) -> bool:
        """Whether the server's clock bounds the times of writes: not where the manager has a clock of its own."""
        return self.clock is system_clock

    def describe_error(self, error: BaseException) -> str:
        """`Type: message` of a driver's error, with the URL's passwords masked (DISC-03)."""
        return f"{type(error).__name__}: {self.url.scrub(str(error))}"

    def declare_durability(self, durable: bool) -> None:
        """For `store_open`, where the server's settings decide it: declare the capability or not.

        It is no warning, which each process would repeat: `doctor` and the documents say what each setting loses.
        """
        self.capabilities = dataclasses.replace(self.capabilities, durable=durable)
        if not durable:
            logger.info("%s does not count as durable: 'module-sdk doctor' says why", self.url)

    def missing_schema(self) -> SchemaMissingError:
        """What `store_open` raises when the schema is not there and it may not create it.

        Any other primitive raises it as well when it finds that the store was emptied. Every later call then opens the
        store again, without creating anything, until the schema is there (SEE-10).
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
        """What `store_open` raises for a schema that a later version wrote."""
        return ConfigurationError(
            f"the schema of {self.url} has version {found}, this module-sdk knows {known}: upgrade module-sdk"
        )
