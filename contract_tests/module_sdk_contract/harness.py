"""The harness of a test: one namespace of the store under test, and the reference that says how it must answer."""

from __future__ import annotations

import contextlib
import itertools
import pkgutil
import random
import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import urlsplit

import module_sdk
from module_sdk.backends import TaskManager
from module_sdk.domain.shapes import TaskRow
from module_sdk.models import background_tasks
from module_sdk.testing import SettableClock
from module_sdk_contract.calls import ordered_view, scope, session_of
from module_sdk_contract.data.comparison import shortened
from module_sdk_contract.data.reference import (
    DEFAULT_SORT,
    EVERYWHERE,
    Fields,
    Reference,
    Row,
    canonical,
    recorded,
    row_of,
    view_of,
)
from module_sdk_contract.factories import task_of
from module_sdk_contract.faults.failing_managers import at_port, dead_server
from module_sdk_contract.faults.fault_proxy import FaultProxy
from module_sdk_contract.processes.workers import WorkerProcess, modules_of
from module_sdk_contract.report.call_counts import CallCount
from module_sdk_contract.report.verdicts import NotApplicable, Unknown
from module_sdk_contract.violations import ContractViolation, Violation, compare, demand, raised

if TYPE_CHECKING:
    from module_sdk_contract.suite import StoreUnderTest

RUN: Final = secrets.token_hex(4)
numbers: Final = itertools.count()


def fresh_namespace() -> str:
    """Return a namespace that no other test of this or another run uses on the same server."""
    return f"c{RUN}_{next(numbers)}"


class Store:
    """The store under test: `manager` is open on a fresh namespace, `reference` says how it must answer.

    Methods called `given_…` create a state in both; `try_…` return a `Violation` or `None`; `then_…` raise
    `ContractViolation` unless the store answers like the reference.
    """

    def __init__(self, contract: StoreUnderTest, tmp_path: Path, clauses: tuple[str, ...], *, seed: int = 0) -> None:
        self.contract = contract
        self.seed = seed
        self.clauses = clauses
        self.tmp_path = tmp_path
        self.clock = SettableClock()
        self.reference = Reference()
        self.url = contract.manager_url(tmp_path)
        self.namespace = fresh_namespace()
        self.to_close = contextlib.ExitStack()
        self.workers: list[WorkerProcess] = []
        self.random = random.Random(seed)  # noqa: S311  # the same ids in every run with this seed
        self.calls = CallCount()
        self.asks_facade = True  # turned off where the facade would only repeat very expensive reads
        self.manager = self.open()
        self.capabilities: frozenset[str] = frozenset()

    def begin(self) -> None:
        """Set the store up and configure `module_sdk.tasks` to use it."""
        self.manager.setup()
        self.capabilities = frozenset(self.manager.capabilities.names())
        self.use_facade()

    # --- Managers and hooks -----------------------------------------------------------------------------------------

    def open(self, *, url: str | None = None, **options: Any) -> TaskManager:
        """Return another manager with the same URL, namespace and clock. It is closed at the end of the test."""
        opener: Callable[..., TaskManager] = pkgutil.resolve_name(self.contract.opener)
        manager = opener(url or self.url, **{"clock": self.clock, "namespace": self.namespace, **options})
        self.to_close.callback(manager.close)
        self.calls.watch(manager)
        return manager

    def some_managers(self, count: int) -> list[TaskManager]:
        """Return that many managers on the store, or only the existing one if managers cannot share the store."""
        if "shared" not in self.capabilities:
            return [self.manager]
        return [self.manager, *(self.open() for _ in range(count - 1))]

    def reopen(self) -> None:
        """Close the manager and continue with a new one on the same store."""
        self.manager.close()
        self.manager = self.open()
        self.use_facade()

    def use_fresh_namespace(self, **options: Any) -> None:
        """Continue in a namespace that has not been set up, with a new manager that has these options."""
        self.namespace = fresh_namespace()
        self.manager = self.open(**options)
        self.use_facade()

    def use_facade(self, **options: Any) -> None:
        """Configure `module_sdk.tasks` with the manager. The deadline is long: a busy machine must break no clause."""
        module_sdk.configure(manager=self.manager, **{"lookup_timeout_seconds": 30, **options})

    def spawn(self, clock: str | None = None) -> WorkerProcess:
        """Start a process with its own manager, and a settable clock if `clock` is given. It ends with the test."""
        modules = modules_of(self.manager)
        worker = WorkerProcess(self.contract.opener, self.url, self.namespace, self.clauses[0], clock, modules=modules)
        self.workers.append(worker)
        return self.to_close.enter_context(worker)

    def close(self) -> None:
        """Reset the facade, end the workers and close the managers."""
        module_sdk.reset()
        # All workers are told to end before the first is awaited, because each takes a while.
        for worker in self.workers:
            worker.end_input()
        self.to_close.close()

    def open_dead(self) -> TaskManager:
        """Return a manager on a store that cannot be reached, from the suite's `dead_url` hook."""
        if not self.outlives_its_process():
            raise NotApplicable("there is nothing outside the process that could be dead")
        return self.open(url=self.contract.dead_url(self), timeout_seconds=0.5)

    def dead_server_url(self) -> str:
        """Return the URL with its host and port replaced by a port that refuses connections."""
        return at_port(self.url, self.to_close.enter_context(dead_server()))

    def proxied_url(self) -> tuple[FaultProxy, str]:
        """Return a proxy in front of the server, and the URL that leads through it."""
        if "," in urlsplit(self.url).netloc or urlsplit(self.url).port is None:
            raise Unknown("the URL does not name a single host and port, so no proxy can be put in front of it")
        proxy, url = FaultProxy.in_front_of(self.url)
        self.to_close.enter_context(proxy)
        return proxy, self.contract.direct_url(url)

    def outlives_its_process(self) -> bool:
        """Return whether the store is outside this process, so that it can be dead, newer or examined from outside."""
        return bool({"shared", "durable", "server"} & self.capabilities)

    def need(self, capability: str) -> None:
        """End the test as not applicable unless the manager declares the capability."""
        if capability not in self.capabilities:
            raise NotApplicable(f"the manager does not declare {capability!r}")

    def dump(self) -> str:
        """Return everything in the namespace as text, from the suite's `dump` hook."""
        return "\n".join(map(repr, self.contract.dump(self)))

    def corrupt(self, task_id: str) -> None:
        """Make one stored record unreadable with the suite's `corrupt` hook."""
        self.contract.corrupt(self, task_id)

    # --- Given ------------------------------------------------------------------------------------------------------

    def fields(self, **fields: Any) -> Fields:
        """Return the fields of a new task, created now unless `fields` say otherwise. Ids are random, in no order."""
        created_at = fields.get("created_at", self.clock())
        task_id = str(uuid.UUID(int=self.random.getrandbits(128)))
        return {"id": task_id, "created_at": created_at, "updated_at": created_at, **fields}

    def given(self, **fields: Any) -> Fields:
        """Create a task in the store and in the reference, and return the reference's entry."""
        violation, entry = self.create(self.fields(**fields))
        then_none([violation])
        return entry

    def given_imported(self, tasks: Iterable[Mapping[str, Any]]) -> list[Fields]:
        """Import tasks without conflicts into the store and the reference, and return the reference's entries."""
        complete = [self.fields(**fields) for fields in tasks]
        asked = f"import_tasks of {len(complete)} tasks, no two of which are active with the same key"
        try:
            written = self.manager.import_tasks(task_of(fields) for fields in complete)
        except Exception as error:
            clause = "SCOPE-12" if "SCOPE-12" in self.clauses else self.clauses[0]
            raise ContractViolation([raised(clause, asked, len(complete), error)]) from error
        demand(self.clauses[0], asked, len(complete), written)
        entries = [recorded(fields) for fields in complete]
        self.reference.tasks += entries
        return entries

    def create(self, fields: Fields) -> tuple[Violation | None, Fields]:
        """Create a task in both; return the violation, if there is one, and the reference's entry."""
        is_known = self.reference.find(fields["id"]) is not None
        entry, created = self.reference.create(fields)
        clause, asked = self.clauses[0], f"create({shortened(fields)})"
        try:
            task, was_created = self.manager.create(task_of(fields))
        except Exception as error:
            return raised(clause, asked, (entry["id"], created), error), entry
        if "DEDUP-04" in self.clauses:
            other_scope = created and not was_created and task.organization_id != entry["organization_id"]
            clause = "SCOPE-12" if other_scope else "DEDUP-04"
        if created and not is_known:
            self.reference.settle(entry, task.created_at)
        violation = compare(clause, asked, (entry["id"], created), (task.id, was_created))
        returned = ordered_view(task.to_view())
        return violation or compare(clause, f"the task that {asked} returns", view_of(entry), returned), entry

    def create_again(self, fields: Fields) -> None:
        """Call `create` with the id in `fields`, for the first or a later time."""
        then_none([self.create(fields)[0]])

    def try_create(self, fields: Fields) -> Violation | None:
        return self.create(self.fields(**fields))[0]

    # --- Lookups ----------------------------------------------------------------------------------------------------

    def try_lookup(
        self, clause: str, operation: str, argument: Any, organization_id: Any = None, *, limit: int | None = None
    ) -> Violation | None:
        """Compare the manager's answer with the reference's, then the facade's with the manager's; none may raise."""
        asked = f"{operation}({shortened(argument)}, {shortened(organization_id)}, limit={limit})"
        expected = self.reference.lookup(operation, argument, organization_id, limit)
        try:
            found = getattr(self.manager, operation)(argument, organization_id, limit=limit)
        except Exception as error:
            return raised(clause, f"manager.{asked}", expected, error)
        blamed = self.blame(clause, organization_id, expected, found)
        # A malformed row is skipped, which otherwise looks like a row that was not found.
        skipped = f", which skipped {found.skipped} as unreadable: its log says why" if found.skipped else ""
        violation = compare(blamed, f"manager.{asked}{skipped}", expected, found)
        if violation is None and self.asks_facade:
            from_facade = getattr(module_sdk.tasks, operation)(argument, organization_id, limit=limit)
            violation = compare(clause, f"tasks.{asked}.error", None, from_facade.error)
            violation = violation or compare(clause, f"tasks.{asked}, as the manager answers", found, from_facade)
        return violation

    def blame(self, clause: str, organization_id: Any, expected: list[Row], found: list[Row]) -> str:
        """Return the clause that a wrong answer breaks: a more specific one than `clause` if the test decides it."""
        scope = None if organization_id is None else canonical(organization_id)
        strangers = [row.get("organization_id") for row in found if row.get("organization_id") != scope]
        ids, found_ids = [row["id"] for row in expected], [str(row.get("id")) for row in found]
        blamed = clause
        # A SCOPE clause says more precisely which organizations were confused, so it keeps the blame.
        if strangers and not clause.startswith("SCOPE"):
            blamed = "SCOPE-02" if scope is None else "SCOPE-03" if strangers[0] is None else "SCOPE-01"
        elif ids != found_ids and sorted(ids) == sorted(found_ids):
            times = [row["created_at"] for row in found]
            blamed = "ORDER-03" if times == sorted(times, reverse=True) else "ORDER-02"
        return blamed if blamed in self.clauses else clause

    def then_lookup(
        self, operation: str, argument: Any, organization_id: Any = None, *, limit: int | None = None
    ) -> list[Row]:
        """Raise `ContractViolation` unless the manager answers like the reference; return the rows."""
        then_none([self.try_lookup(self.clauses[0], operation, argument, organization_id, limit=limit)])
        return self.reference.lookup(operation, argument, organization_id, limit)

    def then_user(self, user_id: Any, organization_id: Any = None, *, limit: int | None = None) -> list[Row]:
        return self.then_lookup("list_user_tasks", user_id, organization_id, limit=limit)

    def then_key(self, task_key: Any, organization_id: Any = None, *, limit: int | None = None) -> list[Row]:
        return self.then_lookup("get_tasks_by_key", task_key, organization_id, limit=limit)

    def then_prefix(self, prefix: Any, organization_id: Any = None, *, limit: int | None = None) -> list[Row]:
        return self.then_lookup("get_tasks_by_key_prefix", prefix, organization_id, limit=limit)

    # --- Reads by id ------------------------------------------------------------------------------------------------

    def try_view(self, clause: str, task_id: str, manager: TaskManager | None = None) -> Violation | None:
        asked = f"get({task_id!r}).to_view()"
        expected = self.reference.view(task_id)
        try:
            task = (manager or self.manager).get(task_id)
            with session_of(EVERYWHERE):
                shown = None if manager or not self.asks_facade else background_tasks.view(task_id)
        except Exception as error:
            return raised(clause, asked, expected, error)
        violation = compare(clause, asked, expected, None if task is None else ordered_view(task.to_view()))
        if violation is None and manager is None and self.asks_facade:
            violation = compare(clause, f"view({task_id!r})", expected, shown and ordered_view(shown))
        return violation

    def then_view(self, task_id: str, manager: TaskManager | None = None) -> None:
        """Raise `ContractViolation` unless the task equals the reference's in every field of a view."""
        then_none([self.try_view(self.clauses[0], task_id, manager)])

    def then_all_views(self) -> None:
        """Raise `ContractViolation` unless every task equals the reference's and there are no others."""
        for task in self.reference.tasks:
            self.then_view(task["id"])
        self.then_count()

    def then_no_errors(self, clause: str, outcomes: Iterable[Any]) -> list[Any]:
        """Return the outcomes of a race. Raise `ContractViolation` if one of them is an error."""
        found = list(outcomes)
        then_none(
            raised(clause, "one of the racing calls", "no error", outcome)
            for outcome in found
            if isinstance(outcome, Exception)
        )
        return found

    def creates_a_task(self, task_key: str) -> bool:
        """Create a task with that key in the store only, and return whether it is a new task."""
        return self.manager.create(task_of(self.fields(task_key=task_key)))[1]

    # --- Changes ----------------------------------------------------------------------------------------------------

    def when_updated(self, task_id: str, **changes: Any) -> TaskRow | None:
        """Update both and return the row. Raise `ContractViolation` unless the store answers like the reference."""
        asked = f"update({task_id!r}, {shortened(changes)})"
        entry = self.reference.update(task_id, self.clock(), **changes)
        expected = None if entry is None else row_of(entry)
        try:
            row = self.manager.update(task_id, **changes)
        except Exception as error:
            raise ContractViolation([raised(self.clauses[0], asked, expected, error)]) from error
        demand(self.clauses[0], asked, expected, row)
        return row

    # --- The read model ---------------------------------------------------------------------------------------------

    def then_page(
        self,
        filters: Mapping[str, Any] | None = None,
        sort: tuple[str, str] | None = None,
        *,
        offset: int = 0,
        limit: int = 25,
        organization_id: Any = EVERYWHERE,
    ) -> list[Row]:
        """Raise `ContractViolation` unless the manager answers like the reference; return the rows of the page."""
        window = {"offset": offset, "limit": limit, "organization_id": organization_id}
        then_none([self.try_page(self.clauses[0], filters, sort, **window)])
        return self.reference.page(filters, sort or DEFAULT_SORT, offset, limit, organization_id)

    def try_page(
        self,
        clause: str,
        filters: Mapping[str, Any] | None = None,
        sort: tuple[str, str] | None = None,
        *,
        offset: int = 0,
        limit: int = 25,
        organization_id: Any = EVERYWHERE,
    ) -> Violation | None:
        """Compare the manager's page, and the read model's page and total if `offset` is the start of a page."""
        where = "" if organization_id is EVERYWHERE else f", organization_id={organization_id!r}"
        asked = f"page(filters={shortened(filters)}, sort={sort}, offset={offset}, limit={limit}{where})"
        expected = self.reference.page(filters, sort or DEFAULT_SORT, offset, limit, organization_id)
        order = None if sort is None else {"field": sort[0], "direction": sort[1]}
        named: dict[str, Any] = {"filters": filters, "sort": order}
        try:
            found = self.manager.page(**named, offset=offset, limit=limit, **scope(organization_id))
            violation = compare(clause, f"manager.{asked}", expected, found)
            if violation is not None or offset % limit or not self.asks_facade:
                return violation
            with session_of(organization_id):
                page = background_tasks.list(page=offset // limit, page_size=limit, **named)
        except Exception as error:
            return raised(clause, asked, expected, error)
        total = self.reference.count(filters, organization_id)
        violation = compare(clause, f"list of the read model for {asked}", found, page["rows"])
        blamed = "MODEL-07" if "MODEL-07" in self.clauses else clause
        return violation or compare(blamed, f"total_rows of {asked}", total, page["total_rows"])

    def then_count(self, filters: Any = None, organization_id: Any = EVERYWHERE) -> int:
        """Raise `ContractViolation` unless the manager answers like the reference; return the number of tasks."""
        then_none([self.try_count(self.clauses[0], filters, organization_id)])
        return self.reference.count(filters, organization_id)

    def try_count(self, clause: str, filters: Any = None, organization_id: Any = EVERYWHERE) -> Violation | None:
        expected = self.reference.count(filters, organization_id)
        asked = f"count(filters={shortened(filters)}, {scope(organization_id)})"
        try:
            found = self.manager.count(filters=filters, **scope(organization_id))
            with session_of(organization_id):
                from_read_model = background_tasks.count(filters) if self.asks_facade else found
        except Exception as error:
            return raised(clause, asked, expected, error)
        violation = compare(clause, f"manager.{asked}", expected, found)
        return violation or compare(clause, f"read model's {asked}", expected, from_read_model)


def then_none(violations: Iterable[Violation | None]) -> None:
    """Raise `ContractViolation` with the violations that are not `None`, if there are any."""
    found = [violation for violation in violations if violation is not None]
    if found:
        raise ContractViolation(found)


def unknown(hook: str) -> NoReturn:
    """End the test as unknown, because the suite does not define the hook that its clauses need."""
    raise Unknown(f"the suite does not define the {hook} hook")
