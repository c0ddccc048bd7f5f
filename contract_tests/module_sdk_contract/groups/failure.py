"""FAIL: lookups that never raise, and writes that do. Breaker and async versions are in `failure_modes.py`."""

from __future__ import annotations

import functools
import itertools
import logging
from collections.abc import Callable
from typing import Any, Final

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.backends import ConfigurationError, TaskBackendError, TaskBackendUnavailableError
from module_sdk_contract.calls import LOOKUPS, argument_of
from module_sdk_contract.factories import task_of
from module_sdk_contract.faults.failing_managers import (
    CUT_ANSWER,
    DriverError,
    FaultyManager,
    at_port,
    broken_server,
    dead_server,
    deaf_server,
    failing_primitives,
    outcome_within,
    raises,
    returns,
)
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause
from module_sdk_contract.processes.races import run_at_once
from module_sdk_contract.violations import demand, demand_error

FIND_PRIMITIVES: Final = ("store_find_by_user", "store_find_by_key", "store_find_by_prefix")
ERRORS: Final = (RuntimeError("x"), KeyError("x"), DriverError("x"), TaskBackendError("x"), OSError(5, "x"))
SHORT_SECONDS: Final = 0.5
GRACE_SECONDS: Final = 1.5
"""How many seconds late a call may be on a busy machine."""
MISPLACED_HINT: Final = (
    ". That error is right for a location where no store can be, which DISC-10 checks without a hook. Let `dead_url` "
    "name an existing store that cannot be read, such as a file of the store's format, overwritten past its header"
)
ALIVE_HINT: Final = (
    ": if this is intended, the hook `dead_url` names a store that can be read, or a location where one is created"
)


def safe_lookup(operation: str) -> tasks.LookupResult:
    answer: tasks.LookupResult = getattr(tasks, operation)(argument_of(operation))
    return answer


def then_failed(clause_id: str, asked: str, answer: tasks.LookupResult, error: Exception | type[Exception]) -> None:
    """Demand that the answer is empty, and that its `.error` is that error or one of that type."""
    demand(clause_id, asked, [], answer)
    right = isinstance(answer.error, error) if isinstance(error, type) else answer.error is error
    demand(clause_id, f"{asked}.error is {answer.error!r}, which should be {error!r}", True, right)


class FailClauses:
    @clause("FAIL-01")
    @pytest.mark.parametrize("operation", LOOKUPS)
    def test_with_no_manager_a_lookup_is_empty_and_has_an_error(self, store: Store, operation: str) -> None:
        store.given(task_key="job:1")
        module_sdk.configure(url=None)

        then_failed("FAIL-01", operation, safe_lookup(operation), ConfigurationError)

    @clause("FAIL-02")
    @pytest.mark.parametrize("operation", LOOKUPS)
    def test_a_lookup_carries_the_error_of_an_injected_manager(self, store: Store, operation: str) -> None:
        store.given(task_key="job:1")
        for error in ERRORS:
            module_sdk.configure(manager=FaultyManager(store.manager, raises(error)))

            then_failed("FAIL-02", f"{operation} with {error!r}", safe_lookup(operation), error)
            demand("FAIL-02", f"{operation} afterwards", 1, len(safe_lookup(operation)))

    @clause("FAIL-02")
    @pytest.mark.parametrize("operation", LOOKUPS)
    def test_the_error_of_the_store_is_the_lookups(self, store: Store, operation: str) -> None:
        store.given(task_key="job:1")

        with failing_primitives(store.manager, *FIND_PRIMITIVES) as cause:
            answer = safe_lookup(operation)

        then_failed("FAIL-02", operation, answer, TaskBackendError)
        assert answer.error is not None
        demand("FAIL-02", "the driver's error is the cause", True, answer.error.__cause__ is cause)
        store.then_lookup(operation, argument_of(operation))

    @clause("FAIL-03")
    @pytest.mark.parametrize("operation", LOOKUPS)
    @pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
    def test_interrupts_pass_through(self, store: Store, operation: str, interrupt: type[BaseException]) -> None:
        module_sdk.configure(manager=FaultyManager(store.manager, raises(interrupt())))

        demand_error("FAIL-03", f"tasks.{operation}", interrupt, safe_lookup, operation)

    @clause("FAIL-04")
    @pytest.mark.parametrize("operation", LOOKUPS)
    def test_garbage_is_a_failure_as_a_whole(self, store: Store, operation: str) -> None:
        store.given(task_key="job:1")
        row = store.then_lookup(operation, argument_of(operation))[0]
        short = {name: value for name, value in row.items() if name != "status"}
        no_lists: tuple[Any, ...] = (None, "rows", b"rows", {}, {"rows": []}, 7, True, (), (row,))
        for answer in (*no_lists, [None], [{}], [row, None], [row, short], [[row]], ["id"]):
            module_sdk.configure(manager=FaultyManager(store.manager, returns(answer)))

            then_failed("FAIL-04", f"{operation} answered by {answer!a:.80}", safe_lookup(operation), Exception)

    @clause("FAIL-05")
    def test_a_dead_server_is_unavailable(self, store: Store) -> None:
        for server in (dead_server(), deaf_server()):
            with server as port:
                then_unavailable(store, "FAIL-05", port)

    @clause("FAIL-06")
    def test_a_silent_server_is_unavailable_within_the_deadline(self, store: Store) -> None:
        with broken_server(None) as port:
            then_unavailable(store, "FAIL-06", port)

    @clause("FAIL-07")
    def test_a_server_that_cuts_its_answers_is_unavailable(self, store: Store) -> None:
        for answer in (b"", CUT_ANSWER):
            with broken_server(answer) as port:
                then_unavailable(store, "FAIL-07", port)

    @clause("FAIL-09")
    def test_writes_raise_the_typed_error_with_its_cause(self, store: Store) -> None:
        task = store.given(task_key="job:1")
        other = task_of(store.fields(task_key="job:2"))
        for primitive, asked, call in (
            ("store_create", "create", functools.partial(store.manager.create, other)),
            ("store_import", "import_tasks", functools.partial(store.manager.import_tasks, [other])),
            ("store_update", "update", functools.partial(store.manager.update, task["id"], status="running")),
            ("store_prune", "prune", functools.partial(store.manager.prune, 0)),
            ("store_get", "get", functools.partial(store.manager.get, task["id"])),
            ("store_page", "page", store.manager.page),
            ("store_count", "count", store.manager.count),
        ):
            with failing_primitives(store.manager, primitive) as cause:
                error = demand_error("FAIL-09", f"{asked} while the driver fails", TaskBackendError, call)
            demand("FAIL-09", f"the cause of {asked}'s error is the driver's", True, error.__cause__ is cause)

        store.then_all_views()
        store.then_prefix("job")

    @clause("FAIL-09", "DISC-07")
    def test_a_dead_store_raises_the_typed_error(self, store: Store) -> None:
        dead = store.open_dead()

        calls: dict[str, Callable[[], object]] = {
            "ping": dead.ping,
            "create": functools.partial(dead.create, task_of(store.fields())),
            "update": functools.partial(dead.update, store.fields()["id"], status="running"),
            "prune": functools.partial(dead.prune, 0),
            "list_user_tasks": functools.partial(dead.list_user_tasks, 1),
            "get_tasks_by_key": functools.partial(dead.get_tasks_by_key, "job"),
            "get_tasks_by_key_prefix": functools.partial(dead.get_tasks_by_key_prefix, ""),
            "page": dead.page,
            "count": dead.count,
        }
        # The calls run at the same time, since each may take its whole timeout.
        outcomes: list[Any] = run_at_once(list(calls.values()))

        for asked, outcome in zip(calls, outcomes, strict=True):
            clause_id = "DISC-07" if asked == "ping" else "FAIL-09"
            found = isinstance(outcome, TaskBackendError)
            misplaced = MISPLACED_HINT if isinstance(outcome, ConfigurationError) else ""
            alive = "" if isinstance(outcome, Exception) else ALIVE_HINT
            what = f"{asked} of a dead store raises TaskBackendError, not {outcome!r}{misplaced}{alive}"
            demand(clause_id, what, True, found)
            # A wait that timed out has no error of the driver as its cause.
            explained = isinstance(outcome, TaskBackendUnavailableError) or outcome.__cause__ is not None
            demand(clause_id, f"{outcome!r} of {asked} has a cause", True, explained)

    @clause("FAIL-09")
    def test_a_call_with_no_time_left_succeeds_or_is_unavailable(self, store: Store) -> None:
        task = store.given(task_key="job:1")
        new_task = task_of(store.fields(user_id=2, checkpoint=[1]))
        calls: dict[str, Callable[..., object]] = {
            "get": functools.partial(store.manager.get, task["id"]),
            "page": store.manager.page,
            "count": store.manager.count,
            "ping": store.manager.ping,
            "create": functools.partial(store.manager.create, new_task),
        }
        for operation in LOOKUPS:
            calls[operation] = functools.partial(getattr(store.manager, operation), argument_of(operation))
        for seconds, (asked, call) in itertools.product((1e-9, 0, -1), calls.items()):
            outcome = outcome_within(GRACE_SECONDS, functools.partial(call, timeout_seconds=seconds))
            right = not isinstance(outcome, Exception) or isinstance(outcome, TaskBackendUnavailableError)
            demand(
                "FAIL-09",
                f"{asked}(timeout_seconds={seconds}) succeeds or is unavailable, not {outcome!r}",
                True,
                right,
            )

        store.then_user(1)
        found = store.manager.get(new_task.id)
        demand("FAIL-09", "the new task, if it exists", new_task, found or new_task)

    @clause("FAIL-10")
    def test_an_unreadable_record_hides_no_other(self, store: Store, caplog: pytest.LogCaptureFixture) -> None:
        now = store.clock()
        ids = [store.given(task_key="job:1", status="completed", created_at=now + n)["id"] for n in range(14)]
        unreadable = [ids[index] for index in (13, 12, 9, 7, 6, 5, 4, 1)]
        for task_id in unreadable:
            given_unreadable(store, task_id)

        for operation in LOOKUPS:
            caplog.clear()
            with caplog.at_level(logging.ERROR):
                store.then_lookup(operation, argument_of(operation))
            answer = getattr(store.manager, operation)(argument_of(operation))
            demand("FAIL-10", f"{operation}.skipped", len(unreadable), answer.skipped)
            demand("FAIL-10", f"tasks.{operation}.skipped", len(unreadable), safe_lookup(operation).skipped)
            logged = len(caplog.records) >= len(unreadable)
            demand("FAIL-10", f"{operation}: unreadable records are logged", True, logged)
            for limit in (0, 1, 2, 4, 5, 6, 7, 14):
                store.then_lookup(operation, argument_of(operation), limit=limit)
        page = store.manager.page()
        readable = sorted(task["id"] for task in store.reference.tasks)
        demand("FAIL-10", "ids of a page", readable, sorted(row["id"] for row in page))

    @clause("FAIL-10")
    def test_an_unreadable_record_counts_only_in_reads_that_would_return_it(self, store: Store) -> None:
        owners: tuple[dict[str, Any], ...] = (
            {"user_id": 1, "task_key": "job:1", "organization_id": None},
            {"user_id": 1, "task_key": "job:1", "organization_id": 5},
            {"user_id": 2, "task_key": "job:2", "organization_id": None},
            {"user_id": 11, "task_key": "jo", "organization_id": 5},
        )
        # Each owner has one more than the last, so that no two have the same number.
        unreadable = [
            store.given(status="completed", **owner)["id"]
            for number, owner in enumerate(owners)
            for _ in range(number + 1)
        ]
        for owner in owners:
            store.given(status="completed", **owner)
        for task_id in unreadable:
            given_unreadable(store, task_id)

        for argument, operation, organization, expected in (
            (1, "list_user_tasks", None, 1),
            (1, "list_user_tasks", 5, 2),
            (2, "list_user_tasks", None, 3),
            (2, "list_user_tasks", 5, 0),
            (11, "list_user_tasks", 5, 4),
            (1, "list_user_tasks", 6, 0),
            ("job:1", "get_tasks_by_key", None, 1),
            ("job:1", "get_tasks_by_key", 5, 2),
            ("job:2", "get_tasks_by_key", None, 3),
            ("job:2", "get_tasks_by_key", 5, 0),
            ("job:", "get_tasks_by_key", 5, 0),
            ("job:", "get_tasks_by_key_prefix", None, 4),
            ("job:", "get_tasks_by_key_prefix", 5, 2),
            ("jo", "get_tasks_by_key_prefix", 5, 6),
            ("job:3", "get_tasks_by_key_prefix", None, 0),
        ):
            store.then_lookup(operation, argument, organization)
            answer = getattr(store.manager, operation)(argument, organization)
            demand("FAIL-10", f"{operation}({argument!r}, {organization}).skipped", expected, answer.skipped)
        for organization, expected in ((None, 4), (5, 6), (6, 0)):
            skipped = store.manager.page(organization_id=organization).skipped
            demand("FAIL-10", f"page(organization_id={organization}).skipped", expected, skipped)

    @clause("FAIL-15")
    @pytest.mark.parametrize("operation", LOOKUPS)
    def test_a_real_empty_answer_has_no_error(self, store: Store, operation: str) -> None:
        answer = safe_lookup(operation)

        demand("FAIL-15", operation, [], answer)
        demand("FAIL-15", f"{operation}.error", None, answer.error)
        demand("FAIL-15", f"{operation}.skipped", 0, answer.skipped)


def given_unreadable(store: Store, task_id: str) -> None:
    """Put a value that no manager writes into that record, and remove the task from the reference."""
    store.corrupt(task_id)
    store.reference.tasks = [task for task in store.reference.tasks if task["id"] != task_id]


def then_unavailable(store: Store, clause_id: str, port: int) -> None:
    """Demand that a manager at that port raises in time, and that lookups of the facade are empty in time."""
    manager = store.open(url=at_port(store.url, port), timeout_seconds=SHORT_SECONDS)
    module_sdk.configure(manager=manager, lookup_timeout_seconds=SHORT_SECONDS, breaker=False)
    calls: dict[str, Callable[[], object]] = {"create": functools.partial(manager.create, task_of(store.fields()))}
    for operation in LOOKUPS:
        calls[operation] = functools.partial(getattr(manager, operation), argument_of(operation))
        calls[f"tasks.{operation}"] = functools.partial(safe_lookup, operation)
    then_unavailable_at_once(clause_id, SHORT_SECONDS, calls)


def then_unavailable_at_once(clause_id: str, seconds: float, calls: dict[str, Callable[[], object]]) -> None:
    """Call all at once, since each may take its whole timeout: managers must raise, lookups (`tasks.…`) be empty."""
    outcomes: list[Any] = run_at_once(
        [functools.partial(outcome_within, seconds + GRACE_SECONDS, call) for call in calls.values()]
    )
    for asked, outcome in zip(calls, outcomes, strict=True):
        if asked.startswith("tasks."):
            demand(clause_id, f"type of {asked}", tasks.LookupResult.__name__, type(outcome).__name__)
            then_failed(clause_id, asked, outcome, TaskBackendUnavailableError)
        else:
            demand(clause_id, asked, TaskBackendUnavailableError.__name__, type(outcome).__name__)
