"""FAIL-09, LIFE-02, LIFE-11: updates and ends whose request or reply is lost, and the retry after it."""

from __future__ import annotations

import copy
import functools
import time
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

PATIENT_SECONDS: Final = 30.0
SETTLE_SECONDS: Final = 0.5
"""How long a server may continue a statement whose connection was lost."""
MAXIMUM_TRIES: Final = 3
"""The fault may hit another request of the driver instead of the update, which then must be tried again."""

Change = tuple[str, dict[str, Any]]
"""The status of the task before the update, and the fields that the update names."""

CHANGES: Final[dict[str, Change]] = {
    "other fields": ("running", {"label": "first", "progress": 0.25, "checkpoint": {"by": "first"}}),
    "completed": ("running", {"status": "completed", "result": {"by": "first"}}),
    "failed": ("waiting_confirmation", {"status": "failed", "error": "ValueError: first"}),
    "interrupted": ("pending", {"status": "interrupted", "error": "first"}),
    "running": ("pending", {"status": "running"}),
    "waiting": ("running", {"status": "waiting_confirmation", "confirmation": {"by": "first"}}),
    "answered": ("waiting_confirmation", {"status": "running"}),
}
FAULTS: Final[dict[str, Kind]] = {"reply": Kind.CUT, "request": Kind.DROP}
CORE_CASES: Final = (
    *(("reply", name) for name in ("other fields", "waiting", *ENDED)),
    *(("request", name) for name in ("other fields", "completed")),
)
OTHER_CASES: Final = tuple((lost, name) for lost in FAULTS for name in CHANGES if (lost, name) not in CORE_CASES)


class LostUpdate:
    """One update that meets a fault of the network, and the retry after it."""

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
        return self.manager.update(self.task["id"], timeout_seconds=PATIENT_SECONDS, **self.changes)

    def run(self) -> bool:
        """Update, let a rival interfere, and retry; return whether the first try met the fault."""
        before = copy.deepcopy(self.task)
        self.network.proxy.set(FAULTS[self.lost], is_once=True)
        outcome = outcome_of(
            functools.partial(self.manager.update, self.task["id"], timeout_seconds=PATIENT_SECONDS, **self.changes)
        )
        self.network.proxy.set(Kind.NONE)

        self.store.reference.update(self.task["id"], self.store.clock(), **self.changes)
        was_recorded = self.was_recorded(view_of(before), outcome)
        if not was_recorded:
            self.task.clear()
            self.task.update(before)
        self.meet_a_rival(was_recorded)
        self.then_retry()
        return isinstance(outcome, TaskBackendUnavailableError)

    def was_recorded(self, before: Row, outcome: object) -> bool:
        """Return whether the update is in the store, whole and once; the outcome for the caller must agree with it."""
        found = self.view()
        after = ordered_view(view_of(self.task))
        is_unsure = isinstance(outcome, TaskBackendUnavailableError)
        if not is_unsure and not isinstance(outcome, dict):
            shown = f"raised {outcome!r}" if isinstance(outcome, Exception) else repr(outcome)
            raise ContractViolation([Violation("FAIL-09", self.asked, "a row, or TaskBackendUnavailableError", shown)])
        until = time.monotonic() + SETTLE_SECONDS
        while is_unsure and compare("FAIL-09", self.asked, ordered_view(before), found) is None:
            # The server may commit after it has sent the reply, or notice later that the connection is gone.
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
            found = self.view()
        if isinstance(outcome, dict):
            demand("FAIL-09", self.asked, row_of(self.task), outcome)
        demand("FAIL-09", f"the task after {self.asked}", after, found)
        return True

    def meet_a_rival(self, was_recorded: bool) -> None:
        """Let another manager change or end the task, and use the first manager for other calls."""
        if self.ends and not was_recorded:
            self.store.when_updated(self.task["id"], status="interrupted", error="the rival's")
        elif not self.ends:
            self.store.when_updated(self.task["id"], label="the rival's")
        for operation in (self.manager.list_user_tasks, self.manager.get_tasks_by_key):
            operation(self.key, timeout_seconds=PATIENT_SECONDS)
        self.then_task_is_right("after another manager's change, and other calls")

    def then_retry(self) -> None:
        asked = f"the retry of {self.asked}"
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
        self.then_task_is_right(f"after {asked}")
        if self.ends:
            demand("FAIL-09", f"the key is free after {asked}", True, self.store.creates_a_task(self.key))

    def then_task_is_right(self, when: str) -> None:
        expected = ordered_view(view_of(self.task))
        demand("LIFE-02" if self.task["status"] in ENDED else "FAIL-09", f"the task {when}", expected, self.view())

    def view(self) -> Row | None:
        """Read the task by a manager that is not behind the failing network."""
        task = self.store.manager.get(self.task["id"])
        return None if task is None else ordered_view(task.to_view())


def outcome_of(call: Callable[[], object]) -> object:
    """Return what the call returned or raised."""
    try:
        return call()
    except Exception as error:
        return error


def then_each_outcome_is_right(store: Store, cases: Iterable[tuple[str, str]]) -> None:
    network = Network(store, timeout_seconds=PATIENT_SECONDS)
    for lost, name in cases:
        for _ in range(MAXIMUM_TRIES):
            if LostUpdate(network, lost, name).run():
                break


class LostReplies:
    @LEFT_BY_PYTHON
    @tier("core")
    @clause("FAIL-09", "LIFE-01", "LIFE-02")
    def test_a_lost_reply_is_reported_and_a_retry_overwrites_nothing(self, store: Store) -> None:
        then_each_outcome_is_right(store, CORE_CASES)

    @LEFT_BY_PYTHON
    @tier("deep")
    @clause("FAIL-09", "LIFE-01", "LIFE-02")
    def test_any_lost_reply_or_request_is_reported(self, store: Store) -> None:
        then_each_outcome_is_right(store, OTHER_CASES)

    @LEFT_BY_PYTHON
    @tier("core")
    @clause("FAIL-09", "LIFE-02")
    def test_a_lost_reply_of_interrupt_all_is_reported(self, store: Store) -> None:
        network = Network(store, timeout_seconds=PATIENT_SECONDS)
        ended = store.given(task_key="ended", status="completed", result=[1])
        for _ in range(MAXIMUM_TRIES):
            tasks = [store.given(task_key=f"{len(store.reference.tasks)}", status=status) for status in ACTIVE]
            ids = [task["id"] for task in tasks]
            end = functools.partial(
                network.manager.interrupt_all, [*ids, ended["id"]], "first", timeout_seconds=PATIENT_SECONDS
            )
            network.proxy.set(Kind.CUT, is_once=True)
            outcome = outcome_of(end)
            network.proxy.set(Kind.NONE)

            left = store.manager.count(filters={"id": ids, "status": list(ACTIVE)})
            shown = type(outcome).__name__ if isinstance(outcome, Exception) else outcome
            allowed = (TaskBackendUnavailableError.__name__, len(ids) - left)
            demand(
                "FAIL-09", f"interrupt_all whose reply is lost: {shown!r} is one of {allowed}", True, shown in allowed
            )
            demand("FAIL-09", "how many tasks the retry of interrupt_all ends", left, outcome_of(end))
            for task in tasks:
                store.reference.update(task["id"], store.clock(), status="interrupted", error="first")
                store.then_view(task["id"])
                demand("FAIL-09", "the key is free", True, store.creates_a_task(task["task_key"]))
            store.then_view(ended["id"])
            if isinstance(outcome, TaskBackendUnavailableError):
                return
