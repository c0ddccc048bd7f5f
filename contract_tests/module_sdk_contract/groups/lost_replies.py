"""FAIL-09, LIFE-02, LIFE-11: the reply to an update or an end is lost, or its request; and the second try."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable
from typing import Any, Final

from module_sdk.backends import TaskBackendUnavailableError
from module_sdk.domain.shapes import TaskRow
from module_sdk.errors import IllegalTransitionError
from module_sdk_contract.calls import ordered_view
from module_sdk_contract.data.comparison import shortened
from module_sdk_contract.data.reference import ACTIVE, ENDED, Fields, Row, row_of, view_of
from module_sdk_contract.faults.fault_proxy import Kind
from module_sdk_contract.groups.network import LEFT_BY_PYTHON, Network
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.violations import ContractViolation, Violation, compare, demand, raised

PATIENT: Final = 30.0
TRIES: Final = 3
"""A driver may have asked something else first, and lost that: then the update itself meets no fault."""

Change = tuple[str, dict[str, Any]]
"""The status that the task has before, and what the update names."""

CHANGES: Final[dict[str, Change]] = {
    "other fields": ("running", {"label": "first", "progress": 0.25, "checkpoint": {"by": "first"}}),
    "completed": ("running", {"status": "completed", "result": {"by": "first"}}),
    "failed": ("waiting_confirmation", {"status": "failed", "error": "ValueError: first"}),
    "interrupted": ("pending", {"status": "interrupted", "error": "first"}),
    "running": ("pending", {"status": "running"}),
    "waiting": ("running", {"status": "waiting_confirmation", "confirmation": {"by": "first"}}),
    "answered": ("waiting_confirmation", {"status": "running"}),
}
LOST: Final[dict[str, Kind]] = {"reply": Kind.CUT, "request": Kind.DROP}
CORE: Final = (
    *(("reply", name) for name in ("other fields", "waiting", *ENDED)),
    *(("request", name) for name in ("other fields", "completed")),
)
OTHER: Final = tuple((lost, name) for lost in LOST for name in CHANGES if (lost, name) not in CORE)


class LostUpdate:
    """One update that meets a fault of the network, and the tries after it."""

    def __init__(self, network: Network, lost: str, name: str) -> None:
        self.network = network
        self.store = network.store
        self.manager = network.manager
        status, self.changes = CHANGES[name]
        self.lost = lost
        self.key = f"{lost}:{name}:{len(self.store.reference.tasks)}"
        self.asked = f"update({shortened(self.changes)}) of a {status} task, whose {lost} is lost"
        self.task: Fields = self.store.given(task_key=self.key, status=status)

    @property
    def ends(self) -> bool:
        return self.changes.get("status") in ENDED

    def update(self) -> TaskRow | None:
        return self.manager.update(self.task["id"], timeout_seconds=PATIENT, **self.changes)

    def run(self) -> bool:
        """Whether the first try met the fault."""
        before = copy.deepcopy(self.task)
        self.network.proxy.set(LOST[self.lost], is_once=True)
        outcome = outcome_of(
            functools.partial(self.manager.update, self.task["id"], timeout_seconds=PATIENT, **self.changes)
        )
        self.network.proxy.set(Kind.NONE)

        self.store.reference.update(self.task["id"], self.store.clock(), **self.changes)
        was_recorded = self.was_recorded(view_of(before), outcome)
        if not was_recorded:
            self.task.clear()
            self.task.update(before)
        self.meet_a_rival(was_recorded)
        self.then_second_try()
        return isinstance(outcome, TaskBackendUnavailableError)

    def was_recorded(self, before: Row, outcome: object) -> bool:
        """Whether it stands in the store, as a whole and once; what the caller was told must not say otherwise."""
        found = self.view()
        after = ordered_view(view_of(self.task))
        is_unsure = isinstance(outcome, TaskBackendUnavailableError)
        if not is_unsure and not isinstance(outcome, dict):
            told = f"raised {outcome!r}" if isinstance(outcome, Exception) else repr(outcome)
            raise ContractViolation([Violation("FAIL-09", self.asked, "a row, or TaskBackendUnavailableError", told)])
        if is_unsure and compare("FAIL-09", self.asked, ordered_view(before), found) is None:
            return False
        if isinstance(outcome, dict):
            demand("FAIL-09", self.asked, row_of(self.task), outcome)
        demand("FAIL-09", f"the task after {self.asked}", after, found)
        return True

    def meet_a_rival(self, was_recorded: bool) -> None:
        """Another manager changes or ends the task meanwhile, and the first one is used for something else."""
        if self.ends and not was_recorded:
            self.store.when_updated(self.task["id"], status="interrupted", error="the rival's")
        elif not self.ends:
            self.store.when_updated(self.task["id"], label="the rival's")
        for operation in (self.manager.list_user_tasks, self.manager.get_tasks_by_key):
            operation(self.key, timeout_seconds=PATIENT)
        self.then_stands("after another manager's change, and other calls")

    def then_second_try(self) -> None:
        asked = f"the second try of {self.asked}"
        status = self.task["status"]
        outcome = outcome_of(self.update)
        if self.ends:
            refusal = (type(outcome).__name__, getattr(outcome, "status", None))
            demand(
                "LIFE-02", f"{asked}, of a task that is {status}", (IllegalTransitionError.__name__, status), refusal
            )
        elif "status" in self.changes and status == self.changes["status"]:
            demand("LIFE-01", asked, IllegalTransitionError.__name__, type(outcome).__name__)
        elif isinstance(outcome, Exception):
            raise ContractViolation([raised("FAIL-09", asked, "a row", outcome)])
        else:
            self.store.reference.update(self.task["id"], self.store.clock(), **self.changes)
        self.then_stands(f"after {asked}")
        if self.ends:
            demand("FAIL-09", f"the key is free after {asked}", True, self.store.creates_a_task(self.key))

    def then_stands(self, when: str) -> None:
        expected = ordered_view(view_of(self.task))
        demand("LIFE-02" if self.task["status"] in ENDED else "FAIL-09", f"the task {when}", expected, self.view())

    def view(self) -> Row | None:
        """Past the network that fails."""
        task = self.store.manager.get(self.task["id"])
        return None if task is None else ordered_view(task.to_view())


def outcome_of(call: Callable[[], object]) -> object:
    """What the call returned or raised."""
    try:
        return call()
    except Exception as error:
        return error


def then_each_is_told_right(store: Store, cases: Iterable[tuple[str, str]]) -> None:
    network = Network(store, timeout_seconds=PATIENT)
    for lost, name in cases:
        for _ in range(TRIES):
            if LostUpdate(network, lost, name).run():
                break


class LostReplies:
    @LEFT_BY_PYTHON
    @tier("core")
    @clause("FAIL-09", "LIFE-01", "LIFE-02")
    def test_a_lost_reply_is_told_and_the_second_try_overwrites_nothing(self, store: Store) -> None:
        then_each_is_told_right(store, CORE)

    @LEFT_BY_PYTHON
    @tier("deep")
    @clause("FAIL-09", "LIFE-01", "LIFE-02")
    def test_any_lost_reply_or_request_is_told(self, store: Store) -> None:
        then_each_is_told_right(store, OTHER)

    @LEFT_BY_PYTHON
    @tier("core")
    @clause("FAIL-09", "LIFE-02")
    def test_a_lost_reply_of_many_ends_is_told(self, store: Store) -> None:
        network = Network(store, timeout_seconds=PATIENT)
        ended = store.given(task_key="ended", status="completed", result=[1])
        for _ in range(TRIES):
            tasks = [store.given(task_key=f"{len(store.reference.tasks)}", status=status) for status in ACTIVE]
            ids = [task["id"] for task in tasks]
            end = functools.partial(
                network.manager.interrupt_all, [*ids, ended["id"]], "first", timeout_seconds=PATIENT
            )
            network.proxy.set(Kind.CUT, is_once=True)
            outcome = outcome_of(end)
            network.proxy.set(Kind.NONE)

            left = store.manager.count(filters={"id": ids, "status": list(ACTIVE)})
            told = type(outcome).__name__ if isinstance(outcome, Exception) else outcome
            allowed = (TaskBackendUnavailableError.__name__, len(ids) - left)
            demand(
                "FAIL-09", f"interrupt_all whose reply is lost says {told!r}, one of {allowed}", True, told in allowed
            )
            demand("FAIL-09", "how many the second try of interrupt_all ends", left, outcome_of(end))
            for task in tasks:
                store.reference.update(task["id"], store.clock(), status="interrupted", error="first")
                store.then_view(task["id"])
                demand("FAIL-09", "the key is free", True, store.creates_a_task(task["task_key"]))
            store.then_view(ended["id"])
            if isinstance(outcome, TaskBackendUnavailableError):
                return
