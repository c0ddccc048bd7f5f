"""FAIL-05 to 09 and 13, DEDUP-11: a TCP proxy between the manager and its server misbehaves."""

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

SOON: Final = 0.7
# More than the grace, so that twice the deadline is too late.
BEYOND_GRACE: Final = 1.8
BACK_SECONDS: Final = 1.5
MANY: Final = 150
"""Rows enough that their answer does not fit into one packet."""
# After how many bytes of an answer the connection ends.
CORE_CUTS: Final = (100, 9_000)
OTHER_CUTS: Final = (0, 1, 4, 3_000)
# The clause, what happens, and its numbers.
HURTS: Final[dict[str, tuple[str, Kind, dict[str, Any]]]] = {
    "refuse": ("FAIL-05", Kind.REFUSE, {}),
    "black hole": ("FAIL-06", Kind.BLACK_HOLE, {}),
    "cut": ("FAIL-07", Kind.CUT, {"size": 20}),
    "reset": ("FAIL-05", Kind.RESET, {}),
    "lost replies": ("FAIL-06", Kind.SWALLOW, {}),
    "slow drip": ("FAIL-06", Kind.DRIP, {"seconds": 0.3}),
    "late replies": ("FAIL-06", Kind.DELAY, {"seconds": 5.0}),
}
CORE: Final = ("refuse", "black hole")


# Python leaves a TLS socket to the collector that was reset before its handshake (gh-108310): not the store's.
LEFT_BY_PYTHON: Final = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")


def hurts(names: Iterable[str]) -> pytest.MarkDecorator:
    chosen = [pytest.param(name, id=name, marks=clause(HURTS[name][0])) for name in names]
    return pytest.mark.parametrize("hurt", chosen)


class Network:
    """A proxy before the store's server, and a manager behind it that has a connection already."""

    def __init__(self, store: Store, *, timeout_seconds: float = SOON, breaker: bool = True) -> None:
        store.need("server")
        self.store = store
        proxy, url = store.proxied_url()
        self.proxy: FaultProxy = proxy
        self.manager: TaskManager = store.open(url=url, timeout_seconds=timeout_seconds)
        self.manager.setup(timeout_seconds=30)
        for operation in LOOKUPS:
            getattr(self.manager, operation)(argument_of(operation), timeout_seconds=30)
        # A ping of the server when it is dead must not remember this one.
        self.manager.ping(timeout_seconds=30)
        module_sdk.configure(manager=self.manager, lookup_timeout_seconds=timeout_seconds, breaker=breaker)

    def hurt(self, name: str) -> None:
        _, kind, numbers = HURTS[name]
        self.proxy.set(kind, **numbers)

    def heal(self) -> None:
        """Forward everything again, and see lookups come back by themselves and in time."""
        self.proxy.set(Kind.NONE)
        gc.collect()
        healed = time.monotonic()
        while (answer := safe_lookup("list_user_tasks")).error is not None and time.monotonic() < healed + 4:
            time.sleep(0.01)
        taken = time.monotonic() - healed
        asked = f"lookups work within {BACK_SECONDS} s, after {taken:.2f} s ({answer.error!r})"
        demand("FAIL-08", asked, True, answer.error is None and taken < BACK_SECONDS + GRACE_SECONDS)

    def then_complete(self) -> None:
        """Every acknowledged write is there."""
        for operation in LOOKUPS:
            expected = self.store.reference.lookup(operation, argument_of(operation))
            found = getattr(self.manager, operation)(argument_of(operation), timeout_seconds=30)
            demand("FAIL-08", f"{operation} after recovery", expected, found)


def then_hurts_and_heals(store: Store, hurt: str) -> None:
    running = store.given(task_key="job:1", status="running")
    deadline = BEYOND_GRACE if hurt == "black hole" else SOON
    network = Network(store, timeout_seconds=deadline)
    manager = network.manager
    unsure = store.fields(task_key="job:2", user_id=2)

    network.hurt(hurt)

    calls: dict[str, Callable[[], object]] = {
        "create": functools.partial(manager.create, task_of(unsure)),
        "update": functools.partial(manager.update, running["id"], progress=0.5),
        "prune": functools.partial(manager.prune, 1_000_000),
        **reads_of(manager, running["id"]),
    }
    for operation in LOOKUPS:
        calls[operation] = functools.partial(getattr(manager, operation), argument_of(operation))
        calls[f"tasks.{operation}"] = functools.partial(safe_lookup, operation)
    then_unavailable_at_once(HURTS[hurt][0], deadline, calls)
    network.heal()
    # Nobody knows whether the update went in; repeating it tells.
    store.reference.update(running["id"], store.clock(), progress=0.5)
    row = manager.update(running["id"], progress=0.5, timeout_seconds=30)
    assert row is not None
    running["updated_at"] += row["updated_at"] != store.reference.lookup("get_tasks_by_key", "job:1")[0]["updated_at"]
    network.then_complete()
    then_created_once(store, manager, unsure)


def reads_of(manager: TaskManager, task_id: str) -> dict[str, Callable[..., object]]:
    """Those that are no lookups."""
    get = functools.partial(manager.get, task_id)
    return {"ping": manager.ping, "get": get, "page": manager.page, "count": manager.count}


def then_created_once(store: Store, manager: TaskManager, fields: dict[str, Any]) -> None:
    """The create whose reply was lost, repeated, leaves one active task of its key."""
    again, created = manager.create(task_of(fields), timeout_seconds=30)
    demand("DEDUP-11", "the create whose reply was lost, repeated", (fields["id"], True), (again.id, created))
    other, created = manager.create(task_of(store.fields(task_key=fields["task_key"])), timeout_seconds=30)
    demand("DEDUP-11", "another create of its key", (fields["id"], False), (other.id, created))
    found = [row["id"] for row in manager.get_tasks_by_key(fields["task_key"], timeout_seconds=30)]
    demand("DEDUP-11", "the tasks of its key", [fields["id"]], found)


def then_cuts_shorten_no_list(store: Store, sizes: Iterable[int]) -> None:
    store.given_imported({"task_key": f"job:1{n}", "status": "failed", "label": "x" * 60} for n in range(MANY))
    network = Network(store, breaker=False)

    lookups = itertools.cycle((("get_tasks_by_key_prefix", "job:"), ("list_user_tasks", 1)))
    for size, (operation, argument) in zip(sizes, lookups, strict=False):
        network.proxy.set(Kind.CUT, size=size)
        ask = functools.partial(getattr(network.manager, operation), argument)
        outcome = outcome_within(SOON + GRACE_SECONDS, ask)
        if isinstance(outcome, list):
            # Another connection may have answered; then it is the whole answer.
            demand("FAIL-07", f"{operation} cut after {size} bytes", MANY, len(outcome))
        else:
            expected = TaskBackendUnavailableError.__name__
            demand("FAIL-07", f"{operation} cut after {size} bytes", expected, type(outcome).__name__)
        network.heal()
        found = getattr(network.manager, operation)(argument, timeout_seconds=30)
        demand("FAIL-08", f"{operation} after the cut", MANY, len(found))


class NetworkClauses:
    @LEFT_BY_PYTHON
    @tier("core")
    @hurts(CORE)
    def test_a_bad_network_is_soft_and_heals(self, store: Store, hurt: str) -> None:
        then_hurts_and_heals(store, hurt)

    @LEFT_BY_PYTHON
    @tier("deep")
    @hurts(name for name in HURTS if name not in CORE)
    def test_any_bad_network_is_soft_and_heals(self, store: Store, hurt: str) -> None:
        then_hurts_and_heals(store, hurt)

    @LEFT_BY_PYTHON
    @tier("core")
    @clause("FAIL-06")
    def test_a_call_keeps_its_own_deadline(self, store: Store) -> None:
        """Whatever the options say of calls that are given none."""
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

        network.hurt("black hole")

        in_time: dict[str, Callable[[], object]] = {
            asked: functools.partial(call, timeout_seconds=BEYOND_GRACE) for asked, call in calls.items()
        }
        then_unavailable_at_once("FAIL-06", BEYOND_GRACE, in_time)
        network.proxy.set(Kind.NONE)

    @LEFT_BY_PYTHON
    @tier("core")
    @clause("FAIL-08", "DISC-07")
    def test_a_manager_works_again_when_its_network_is_back(self, store: Store) -> None:
        store.given(task_key="job:1")
        network = Network(store)

        network.hurt("refuse")
        # First of all, while the pool still has a connection that worked.
        demand_error("DISC-07", "ping", TaskBackendUnavailableError, network.manager.ping)
        demand("FAIL-08", "a lookup fails", True, safe_lookup("list_user_tasks").error is not None)
        network.heal()

        demand_answer("DISC-07", "ping of a server that is back", None, network.manager.ping)
        network.then_complete()
        store.when_updated(store.reference.tasks[0]["id"], label="back")

    @LEFT_BY_PYTHON
    @tier("core")
    @clause("FAIL-07")
    def test_an_answer_that_is_cut_is_no_shorter_list(self, store: Store) -> None:
        then_cuts_shorten_no_list(store, CORE_CUTS)

    @LEFT_BY_PYTHON
    @tier("deep")
    @clause("FAIL-07")
    def test_an_answer_that_is_cut_elsewhere_is_no_shorter_list(self, store: Store) -> None:
        then_cuts_shorten_no_list(store, OTHER_CUTS)

    @LEFT_BY_PYTHON
    @tier("core")
    @clause("DEDUP-11")
    def test_a_lost_acknowledgement_and_a_retry_leave_one_active_task(self, store: Store) -> None:
        network = Network(store)
        fields = store.fields(task_key="lost", checkpoint={"a": 1})

        network.hurt("lost replies")
        create = functools.partial(network.manager.create, task_of(fields))
        then_unavailable_at_once("FAIL-09", SOON, {"create whose reply is lost": create})
        network.heal()

        then_created_once(store, network.manager, fields)
        store.reference.create(fields)
        store.then_view(fields["id"])

    @LEFT_BY_PYTHON
    @tier("core")
    @clause("FAIL-09")
    def test_lost_acknowledgements_of_other_writes_leave_nothing_half_there(self, store: Store) -> None:
        ending = store.given(task_key="ending", status="running")
        old = store.given(task_key="old", status="failed")
        store.clock.advance(100)
        network = Network(store)
        manager = network.manager
        imported = [store.fields(task_key=f"imported:{number}") for number in range(5)]
        batch = [task_of(fields) for fields in imported]

        network.hurt("lost replies")
        writes: dict[str, Callable[[], object]] = {
            "update": functools.partial(manager.update, ending["id"], status="completed", result={"rows": 3}),
            "import_tasks": functools.partial(manager.import_tasks, batch),
            "prune": functools.partial(manager.prune, 50),
        }
        then_unavailable_at_once(
            "FAIL-09", SOON, {f"{name} whose reply is lost": call for name, call in writes.items()}
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
    @pytest.mark.parametrize("hurt", ["refuse", "reset", "lost replies"])
    def test_failures_of_the_network_leak_nothing(self, store: Store, hurt: str) -> None:
        store.given(task_key="job:1")
        network = Network(store, timeout_seconds=0.1, breaker=False)

        def fail(times: int) -> None:
            network.hurt(hurt)
            for number in range(times):
                demand("FAIL-13", "a lookup fails", True, safe_lookup(LOOKUPS[number % 3]).error is not None)
            network.heal()

        fail(5)
        before = resource_counts()
        fail(60)

        # A pool may have grown by a few connections, each with two more ends in the proxy; a leak is one a failure.
        then_no_leak(f"60 failures by {hurt}", before, grace=20)
