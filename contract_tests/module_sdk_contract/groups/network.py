"""FAIL-05 to FAIL-09, FAIL-13, DEDUP-11: a TCP proxy between the manager and its server misbehaves."""

from __future__ import annotations

import functools
import gc
import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import pytest

import module_sdk
from module_sdk.backends import TaskBackendUnavailableError, TaskManager
from module_sdk_contract.calls import LOOKUPS, argument_of
from module_sdk_contract.factories import task_of
from module_sdk_contract.faults.failing_managers import outcome_within
from module_sdk_contract.faults.fault_proxy import FaultProxy, Kind
from module_sdk_contract.groups.failure import GRACE_SECONDS, safe_lookup, then_unavailable_at_once
from module_sdk_contract.groups.failure_modes import resource_counts, then_no_leak
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.violations import demand, demand_answer, demand_error

SHORT_SECONDS: Final = 0.7
# Longer than the grace, so that a call that takes twice its timeout counts as late.
LONGER_THAN_GRACE_SECONDS: Final = 1.8
RECOVERY_SECONDS: Final = 1.5
MANY_ROWS: Final = 150
"""So many rows that their reply does not fit into one packet."""
# After how many bytes of a reply the connection ends.
CORE_CUTS: Final = (100, 9_000)
OTHER_CUTS: Final = (0, 1, 4, 3_000)
# By name: the clause, the fault of the proxy and its options.
FAULTS: Final[dict[str, tuple[str, Kind, dict[str, Any]]]] = {
    "refuse": ("FAIL-05", Kind.REFUSE, {}),
    "black hole": ("FAIL-06", Kind.BLACK_HOLE, {}),
    "cut": ("FAIL-07", Kind.CUT, {"size": 20}),
    "reset": ("FAIL-05", Kind.RESET, {}),
    "lost replies": ("FAIL-06", Kind.SWALLOW, {}),
    "slow drip": ("FAIL-06", Kind.DRIP, {"seconds": 0.3}),
    "late replies": ("FAIL-06", Kind.DELAY, {"seconds": 5.0}),
}
CORE_FAULTS: Final = ("refuse", "black hole")


# Python leaves a TLS socket that was reset before its handshake to the collector (gh-108310); no store's fault.
LEFT_BY_PYTHON: Final = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")


def with_faults(names: Iterable[str]) -> pytest.MarkDecorator:
    chosen = [pytest.param(name, id=name, marks=clause(FAULTS[name][0])) for name in names]
    return pytest.mark.parametrize("fault", chosen)


class Network:
    """A proxy in front of the store's server, and a manager that is already connected through it."""

    def __init__(self, store: Store, *, timeout_seconds: float = SHORT_SECONDS, breaker: bool = True) -> None:
        store.need("server")
        self.store = store
        proxy, url = store.proxied_url()
        self.proxy: FaultProxy = proxy
        self.manager: TaskManager = store.open(url=url, timeout_seconds=timeout_seconds)
        self.manager.setup(timeout_seconds=30)
        for operation in LOOKUPS:
            getattr(self.manager, operation)(argument_of(operation), timeout_seconds=30)
        # A later ping of a dead server must not return the remembered success of this one.
        self.manager.ping(timeout_seconds=30)
        module_sdk.configure(manager=self.manager, lookup_timeout_seconds=timeout_seconds, breaker=breaker)

    def inject(self, name: str) -> None:
        _, kind, numbers = FAULTS[name]
        self.proxy.set(kind, **numbers)

    def heal(self) -> None:
        """Forward everything again, and demand that lookups recover by themselves and in time."""
        self.proxy.set(Kind.NONE)
        gc.collect()
        recovered = time.monotonic()
        while (answer := safe_lookup("list_user_tasks")).error is not None and time.monotonic() < recovered + 4:
            time.sleep(0.01)
        taken = time.monotonic() - recovered
        asked = f"lookups work within {RECOVERY_SECONDS} s, after {taken:.2f} s ({answer.error!r})"
        demand("FAIL-08", asked, True, answer.error is None and taken < RECOVERY_SECONDS + GRACE_SECONDS)

    def then_complete(self) -> None:
        """Demand that every acknowledged write is found."""
        for operation in LOOKUPS:
            expected = self.store.reference.lookup(operation, argument_of(operation))
            found = getattr(self.manager, operation)(argument_of(operation), timeout_seconds=30)
            demand("FAIL-08", f"{operation} after recovery", expected, found)


def then_fails_and_recovers(store: Store, fault: str) -> None:
    running = store.given(task_key="job:1", status="running")
    deadline = LONGER_THAN_GRACE_SECONDS if fault == "black hole" else SHORT_SECONDS
    network = Network(store, timeout_seconds=deadline)
    manager = network.manager
    unsure = store.fields(task_key="job:2", user_id=2)

    network.inject(fault)

    calls: dict[str, Callable[[], object]] = {
        "create": functools.partial(manager.create, task_of(unsure)),
        "update": functools.partial(manager.update, running["id"], progress=0.5),
        "prune": functools.partial(manager.prune, 1_000_000),
        **reads_of(manager, running["id"]),
    }
    for operation in LOOKUPS:
        calls[operation] = functools.partial(getattr(manager, operation), argument_of(operation))
        calls[f"tasks.{operation}"] = functools.partial(safe_lookup, operation)
    then_unavailable_at_once(FAULTS[fault][0], deadline, calls)
    network.heal()
    # It is unknown whether the update was recorded, so repeat it: `updated_at` shows whether both were.
    store.reference.update(running["id"], store.clock(), progress=0.5)
    row = manager.update(running["id"], progress=0.5, timeout_seconds=30)
    assert row is not None
    running["updated_at"] += row["updated_at"] != store.reference.lookup("get_tasks_by_key", "job:1")[0]["updated_at"]
    network.then_complete()
    then_created_once(store, manager, unsure)


def reads_of(manager: TaskManager, task_id: str) -> dict[str, Callable[..., object]]:
    """Return the reads that are not lookups, by name."""
    get = functools.partial(manager.get, task_id)
    return {"ping": manager.ping, "get": get, "page": manager.page, "count": manager.count}


def then_created_once(store: Store, manager: TaskManager, fields: dict[str, Any]) -> None:
    """Repeat the create whose reply was lost, and demand that its key has one active task."""
    again, created = manager.create(task_of(fields), timeout_seconds=30)
    demand("DEDUP-11", "the create whose reply was lost, repeated", (fields["id"], True), (again.id, created))
    other, created = manager.create(task_of(store.fields(task_key=fields["task_key"])), timeout_seconds=30)
    demand("DEDUP-11", "another create of its key", (fields["id"], False), (other.id, created))
    found = [row["id"] for row in manager.get_tasks_by_key(fields["task_key"], timeout_seconds=30)]
    demand("DEDUP-11", "the tasks of its key", [fields["id"]], found)


def then_cut_replies_shorten_no_list(store: Store, sizes: Iterable[int]) -> None:
    store.given_imported({"task_key": f"job:1{n}", "status": "failed", "label": "x" * 60} for n in range(MANY_ROWS))
    network = Network(store, breaker=False)

    lookups = itertools.cycle((("get_tasks_by_key_prefix", "job:"), ("list_user_tasks", 1)))
    for size, (operation, argument) in zip(sizes, lookups, strict=False):
        network.proxy.set(Kind.CUT, size=size)
        ask = functools.partial(getattr(network.manager, operation), argument)
        outcome = outcome_within(SHORT_SECONDS + GRACE_SECONDS, ask)
        if isinstance(outcome, list):
            # The manager may have asked again on another connection; then the answer must be whole.
            demand("FAIL-07", f"{operation} cut after {size} bytes", MANY_ROWS, len(outcome))
        else:
            expected = TaskBackendUnavailableError.__name__
            demand("FAIL-07", f"{operation} cut after {size} bytes", expected, type(outcome).__name__)
        network.heal()
        found = getattr(network.manager, operation)(argument, timeout_seconds=30)
        demand("FAIL-08", f"{operation} after the cut", MANY_ROWS, len(found))


class NetworkClauses:
    @LEFT_BY_PYTHON
    @tier("core")
    @with_faults(CORE_FAULTS)
    def test_a_bad_network_fails_in_time_and_recovers(self, store: Store, fault: str) -> None:
        then_fails_and_recovers(store, fault)

    @LEFT_BY_PYTHON
    @tier("deep")
    @with_faults(name for name in FAULTS if name not in CORE_FAULTS)
    def test_any_bad_network_fails_in_time_and_recovers(self, store: Store, fault: str) -> None:
        then_fails_and_recovers(store, fault)

    @LEFT_BY_PYTHON
    @tier("core")
    @clause("FAIL-06")
    def test_a_call_keeps_its_own_deadline(self, store: Store) -> None:
        """The deadline of the call counts, not the timeout in the manager's options."""
        task = store.given(task_key="job:1", status="running")
        network = Network(store, timeout_seconds=30)
        manager = network.manager
        calls: dict[str, Callable[..., object]] = {
            "create": functools.partial(manager.create, task_of(store.fields())),
            "update": functools.partial(manager.update, task["id"], progress=0.5),
            **reads_of(manager, task["id"]),
        }
        for operation in LOOKUPS:
            calls[operation] = functools.partial(getattr(manager, operation), argument_of(operation))

        network.inject("black hole")

        in_time: dict[str, Callable[[], object]] = {
            asked: functools.partial(call, timeout_seconds=LONGER_THAN_GRACE_SECONDS) for asked, call in calls.items()
        }
        then_unavailable_at_once("FAIL-06", LONGER_THAN_GRACE_SECONDS, in_time)
        network.proxy.set(Kind.NONE)

    @LEFT_BY_PYTHON
    @tier("core")
    @clause("FAIL-08", "DISC-07")
    def test_a_manager_works_again_when_its_network_is_back(self, store: Store) -> None:
        store.given(task_key="job:1")
        network = Network(store)

        network.inject("refuse")
        # The ping comes first, while the pool still has a connection that worked.
        demand_error("DISC-07", "ping", TaskBackendUnavailableError, network.manager.ping)
        demand("FAIL-08", "a lookup fails", True, safe_lookup("list_user_tasks").error is not None)
        network.heal()

        demand_answer("DISC-07", "ping of a server that is back", None, network.manager.ping)
        network.then_complete()
        store.when_updated(store.reference.tasks[0]["id"], label="back")

    @LEFT_BY_PYTHON
    @tier("core")
    @clause("FAIL-07")
    def test_a_cut_reply_is_never_returned_as_a_shorter_list(self, store: Store) -> None:
        then_cut_replies_shorten_no_list(store, CORE_CUTS)

    @LEFT_BY_PYTHON
    @tier("deep")
    @clause("FAIL-07")
    def test_a_reply_cut_elsewhere_is_never_returned_as_a_shorter_list(self, store: Store) -> None:
        then_cut_replies_shorten_no_list(store, OTHER_CUTS)

    @LEFT_BY_PYTHON
    @tier("core")
    @clause("DEDUP-11")
    def test_a_lost_acknowledgement_and_a_retry_leave_one_active_task(self, store: Store) -> None:
        network = Network(store)
        fields = store.fields(task_key="lost", checkpoint={"a": 1})

        network.inject("lost replies")
        create = functools.partial(network.manager.create, task_of(fields))
        then_unavailable_at_once("FAIL-09", SHORT_SECONDS, {"create whose reply is lost": create})
        network.heal()

        then_created_once(store, network.manager, fields)
        store.reference.create(fields)
        store.then_view(fields["id"])

    @LEFT_BY_PYTHON
    @tier("core")
    @clause("FAIL-09")
    def test_lost_acknowledgements_of_other_writes_leave_no_write_half_done(self, store: Store) -> None:
        ending = store.given(task_key="ending", status="running")
        old = store.given(task_key="old", status="failed")
        store.clock.advance(100)
        network = Network(store)
        manager = network.manager
        imported = [store.fields(task_key=f"imported:{number}") for number in range(5)]
        batch = [task_of(fields) for fields in imported]

        network.inject("lost replies")
        writes: dict[str, Callable[[], object]] = {
            "update": functools.partial(manager.update, ending["id"], status="completed", result={"rows": 3}),
            "import_tasks": functools.partial(manager.import_tasks, batch),
            "prune": functools.partial(manager.prune, 50),
        }
        then_unavailable_at_once(
            "FAIL-09", SHORT_SECONDS, {f"{name} whose reply is lost": call for name, call in writes.items()}
        )
        network.heal()
        manager.import_tasks(batch, timeout_seconds=30)
        manager.prune(50, timeout_seconds=30)

        for fields in imported:
            store.reference.create(fields)
        store.reference.tasks.remove(old)
        if store.manager.count(filters={"id": ending["id"], "status": "running"}):
            demand("FAIL-09", "the key of a task that did not end", False, store.creates_a_task("ending"))
        else:
            store.reference.update(ending["id"], store.clock(), status="completed", result={"rows": 3})
        store.then_all_views()
        store.then_prefix("imported")
        if ending["status"] == "completed":
            demand("FAIL-09", "the key of the task that ended is free", True, store.creates_a_task("ending"))

    @LEFT_BY_PYTHON
    @tier("deep")
    @clause("FAIL-13")
    @pytest.mark.parametrize("fault", ["refuse", "reset", "lost replies"])
    def test_failures_of_the_network_leak_nothing(self, store: Store, fault: str) -> None:
        store.given(task_key="job:1")
        network = Network(store, timeout_seconds=0.1, breaker=False)

        def fail(times: int) -> None:
            network.inject(fault)
            for number in range(times):
                demand("FAIL-13", "a lookup fails", True, safe_lookup(LOOKUPS[number % 3]).error is not None)
            network.heal()

        fail(5)
        before = resource_counts()
        fail(60)

        # The pool may have grown by a few connections, each with two sockets in the proxy; a leak grows per failure.
        then_no_leak(f"60 failures by {fault}", before, grace=20)
