"""The abstract `TaskManager`: every rule of the contract, written once for all stores.

The public methods are concrete: they check arguments, apply the maximums, decide which moves are legal and build rows.
A backend subclasses `TaskManager` and writes the `store_…` methods of `primitives.py`; `module_sdk_contract` proves it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any, Final

from module_sdk.calls import StoreCalls, managers
from module_sdk.changes import plan_change
from module_sdk.errors import (
    CapabilityError,
    IllegalTransitionError,
    InvalidInputError,
    TaskBackendError,
    TaskConflictError,
)
from module_sdk.explanation import Diagnosis, Explanation
from module_sdk.options import ManagerOptions
from module_sdk.overriding import check_overrides
from module_sdk.primitives import StoredRows
from module_sdk.query import MAXIMUM_OFFSET, check_count, parse_query, parse_sort
from module_sdk.rows import LookupResult, row_from_stored, rows_from_stored
from module_sdk.scopes import optional_scope, organization_text, scope_is_possible
from module_sdk.sentinels import ANY, UNSET, Anything, Unset
from module_sdk.shapes import AnyTaskId, Identifier, LookupName, TaskFilters, TaskRow, TaskSort, TaskStatus
from module_sdk.statuses import INTERRUPTED
from module_sdk.task import Task
from module_sdk.text_rules import (
    MAXIMUM_IDENTIFIER_BYTES,
    MAXIMUM_KEY_BYTES,
    fits,
    identifier_text,
    is_task_id,
    plain_text,
    prefix_end,
    task_id_text,
)
from module_sdk.urls import StoreURL

MAXIMUM_PAGE: Final = 1_000
MAXIMUM_BATCH: Final = 10_000
IMPORT_BATCH: Final = 500
# A guarded statement can lose to another writer and find, on looking, that the move has become legal again.
ATTEMPTS: Final = 10

LOOKUPS: Final[tuple[LookupName, ...]] = ("list_user_tasks", "get_tasks_by_key", "get_tasks_by_key_prefix")


class TaskManager(StoreCalls):
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
        """Check the URL and the options, and touch no network: connecting is `store_open`'s work."""
        self.options = options or ManagerOptions()
        self.url = StoreURL.parse(url).hiding(self.options.secrets())
        self.clock = self.options.clock
        self.opening = self.new_opening()
        managers.add(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url} namespace={self.options.namespace}>"

    # --- Life -------------------------------------------------------------------------------------------------------

    def setup(self, *, timeout_seconds: float | None = None) -> None:
        """Create or upgrade the schema. Idempotent, and safe from several processes at once (DISC-04)."""
        self.opening.open_now(
            lambda deadline: self.call(self.store_open, True, deadline), self.deadline(timeout_seconds), again=True
        )

    def ping(self, *, timeout_seconds: float | None = None) -> None:
        """Return if the store answers (DISC-07)."""
        self.call_open(self.store_ping, self.deadline(timeout_seconds))

    def close(self) -> None:
        """Give back every connection. A second call does nothing; any other use raises `TaskBackendError` (DISC-06)."""
        if self.opening.close():
            self.call(self.store_close)

    def diagnose(self, *, timeout_seconds: float | None = None) -> Diagnosis:
        """Facts for `module-sdk doctor`: versions, schema, durability, and warnings about the store's settings."""
        return self.call_open(self.store_diagnose, self.deadline(timeout_seconds))

    # --- Writes -----------------------------------------------------------------------------------------------------

    def create(self, task: Task, *, timeout_seconds: float | None = None) -> tuple[Task, bool]:
        """Record a task, unless an active one holds its key in its organization; `(task or holder, created)`.

        Atomic across threads, processes and hosts (DEDUP). Idempotent by id: repeating a call whose reply was lost
        returns the recorded task and `True`. The task that is returned has the times that the store gave it: later
        than every earlier task of its key (ORDER-10), close to the server's clock (ORDER-12). Raises `PayloadError`,
        and `TaskConflictError` if the id is another task's.
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
        """Write records exactly as given, skip ids already there, and return how many were written.

        Raises `TaskConflictError` at an active record whose key another task holds: the records before it stay, and
        running it again is safe (DEDUP-09). Memory does not grow with the number of tasks; the timeout is a batch's.
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
        """Change the named fields and nothing else (LIFE-08); the new row, or `None` for an unknown id.

        One atomic step in the store, guarded by the task's status. Raises `IllegalTransitionError` when that forbids
        it: any change of a task that has ended, and a move that `statuses.LEGAL_MOVES` does not list.
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
        """End these tasks as `interrupted` with this error, those that are active; how many were (LIFE-11).

        Each as `update` would do it, in every organization, but many in one trip or commit where the store can do that.
        After an error any of them may have ended.
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
        """Remove ended tasks last changed more than `older_than_seconds` ago; how many (KEEP). In bounded batches."""
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

    # --- Reads ------------------------------------------------------------------------------------------------------

    def get(
        self,
        task_id: AnyTaskId,
        *,
        organization_id: Identifier | Anything | None = ANY,
        timeout_seconds: float | None = None,
    ) -> Task | None:
        """The whole task, or `None` if the organization has none of that id."""
        scope = optional_scope(organization_id)
        # An exact text from here on: drivers need not know what else may be an id.
        task_id = task_id_text(task_id)
        if not is_task_id(task_id) or not scope_is_possible(scope):
            return None
        record = self.call_open(self.store_get, task_id, scope, self.deadline(timeout_seconds))
        return None if record is None else Task.from_record(record)

    def list_user_tasks(
        self,
        user_id: Identifier,
        organization_id: Identifier | None = None,
        *,
        limit: int | None = None,
        timeout_seconds: float | None = None,
    ) -> LookupResult:
        """That user's tasks in exactly that organization, newest first (USER, SCOPE, ORDER)."""
        user, organization = identifier_text(user_id, "user_id"), organization_text(organization_id)
        if not fits(user, MAXIMUM_IDENTIFIER_BYTES):
            return self.nothing(organization, limit)
        return self.find(self.store_find_by_user, (organization, user), limit, timeout_seconds)

    def get_tasks_by_key(
        self,
        task_key: str,
        organization_id: Identifier | None = None,
        *,
        limit: int | None = None,
        timeout_seconds: float | None = None,
    ) -> LookupResult:
        """The tasks whose key is exactly this, active and ended, newest first (KEY, SCOPE, ORDER)."""
        key, organization = plain_text(task_key, "task_key"), organization_text(organization_id)
        if not key or not fits(key, MAXIMUM_KEY_BYTES):
            return self.nothing(organization, limit)
        return self.find(self.store_find_by_key, (organization, key), limit, timeout_seconds)

    def get_tasks_by_key_prefix(
        self,
        prefix: str,
        organization_id: Identifier | None = None,
        *,
        limit: int | None = None,
        timeout_seconds: float | None = None,
    ) -> LookupResult:
        """The tasks whose key starts with this, newest first; the empty prefix is every task with a key (PREFIX)."""
        start, organization = plain_text(prefix, "prefix"), organization_text(organization_id)
        if not fits(start, MAXIMUM_KEY_BYTES):
            return self.nothing(organization, limit)
        return self.find(self.store_find_by_prefix, (organization, start, prefix_end(start)), limit, timeout_seconds)

    def page(
        self,
        *,
        filters: TaskFilters | None = None,
        sort: TaskSort | None = None,
        offset: int = 0,
        limit: int = 25,
        organization_id: Identifier | Anything | None = ANY,
        timeout_seconds: float | None = None,
    ) -> LookupResult:
        """Rows that pass every filter, in a total order (MODEL-01 to 09). `limit` is 1 to 1,000."""
        query, order = parse_query(filters, optional_scope(organization_id)), parse_sort(sort)
        check_count(offset, "offset", 0, MAXIMUM_OFFSET)
        check_count(limit, "limit", 1, MAXIMUM_PAGE)
        if query.impossible or not scope_is_possible(query.organization):
            return LookupResult()
        return rows_from_stored(
            self.call_open(self.store_page, query, order, offset, limit, self.deadline(timeout_seconds))
        )

    def count(
        self,
        *,
        filters: TaskFilters | None = None,
        organization_id: Identifier | Anything | None = ANY,
        timeout_seconds: float | None = None,
    ) -> int:
        """How many tasks pass every filter (MODEL-07)."""
        query = parse_query(filters, optional_scope(organization_id))
        if query.impossible or not scope_is_possible(query.organization):
            return 0
        return self.call_open(self.store_count, query, self.deadline(timeout_seconds))

    def explain(
        self,
        operation: LookupName,
        argument: Identifier,
        organization_id: Identifier | None = None,
        *,
        limit: int | None = None,
        timeout_seconds: float | None = None,
    ) -> Explanation:
        """How a lookup is served (PREFIX-11, ROW-09). `operation` is the lookup's name.

        Raises `CapabilityError` unless the manager declares `explain`.
        """
        if not self.capabilities.explain:
            raise CapabilityError(f"{type(self).__name__} does not declare the capability 'explain'")
        if operation not in LOOKUPS:
            raise InvalidInputError(f"operation must be one of {', '.join(LOOKUPS)}", field="operation")
        organization = organization_text(organization_id)
        if operation == "list_user_tasks":
            arguments: tuple[str | None, ...] = (organization, identifier_text(argument, "user_id"))
        else:
            text = plain_text(argument, "argument")
            arguments = (organization, text)
            if operation == "get_tasks_by_key_prefix":
                arguments = (organization, text, prefix_end(text))
        return self.call_open(self.store_explain, operation, arguments, limit, self.deadline(timeout_seconds))

    # --- Shared machinery -------------------------------------------------------------------------------------------

    def find(
        self,
        primitive: Callable[..., StoredRows],
        arguments: tuple[str | None, ...],
        limit: int | None,
        timeout_seconds: float | None,
    ) -> LookupResult:
        """Run a find, and ask for more when unreadable records took the place of readable ones (FAIL-10)."""
        if limit is not None:
            check_count(limit, "limit", 0, MAXIMUM_OFFSET)
        if limit == 0 or not fits(arguments[0] or "", MAXIMUM_IDENTIFIER_BYTES):
            return self.nothing(arguments[0] or "", limit)
        deadline = self.deadline(timeout_seconds)
        wanted = limit
        while True:
            stored = self.call_open(primitive, *arguments, wanted, deadline)
            rows = rows_from_stored(stored)
            if limit is None or wanted is None or not rows.skipped or len(stored) < wanted or len(rows) >= limit:
                return LookupResult(rows[:limit], skipped=rows.skipped) if rows.skipped else rows
            wanted = 2 * wanted + rows.skipped

    def nothing(self, organization: str, limit: int | None) -> LookupResult:
        """The real, empty answer to a question that no task can fit; a wrong `limit` is still refused."""
        if limit is not None:
            check_count(limit, "limit", 0, MAXIMUM_OFFSET)
        return LookupResult()
