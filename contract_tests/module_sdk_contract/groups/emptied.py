"""SEE-10: a store that is emptied under the processes that use it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from module_sdk import tasks
from module_sdk.backends import ConfigurationError, TaskManager
from module_sdk_contract.calls import every_call
from module_sdk_contract.data.reference import Fields
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause
from module_sdk_contract.processes.workers import WorkerProcess
from module_sdk_contract.report.verdicts import NotApplicable
from module_sdk_contract.violations import ContractViolation, demand, demand_error

NOTICED_SECONDS: Final = 1.0
"""How long reads may still succeed after the store was emptied."""
MANY_FAILURES: Final = 7
"""More failures in a row than any breaker allows before it opens."""


class EmptiedClauses:
    @clause("SEE-10")
    def test_an_emptied_store_is_an_error_until_it_is_set_up(self, store: Store) -> None:
        # given managers that have used the store
        if not store.outlives_its_process():
            raise NotApplicable("a store inside its own process cannot be emptied from outside")
        managers = store.some_managers(2)
        task = store.given(task_key="job", status="running")
        for manager in managers:
            demand("SEE-10", "the tasks before the store is emptied", 1, len(manager.list_user_tasks(1)))

        # when the store is emptied
        store.contract.empty_store(store)

        # then writes fail at once, and reads after at most a second
        for manager in managers:
            then_refused("create, right after", manager.create, task_of(store.fields(task_key="right after")))
        time.sleep(NOTICED_SECONDS)
        for manager in (*managers, *managers):
            then_every_call_is_refused(store, manager, task)
        for _ in range(MANY_FAILURES):
            answer = tasks.get_tasks_by_key("job")
            demand("SEE-10", "a lookup's rows", [], list(answer))
            is_refusal = isinstance(answer.error, ConfigurationError)
            demand("SEE-10", f"whether a lookup's error says why, with {answer.error!r}", True, is_refusal)

        # and after setup all managers work again, and no refused task is in the store
        managers[-1].setup()
        then_empty_and_usable(store, managers)

    @clause("SEE-10")
    def test_one_setup_restores_a_store_emptied_under_several_processes(self, store: Store) -> None:
        # given this process and another that have used the store
        store.need("shared")
        store.given(task_key="job")
        worker = store.spawn()
        demand("SEE-10", "the tasks that another process finds", 1, len(worker.ask("look", **LOOK_FOR_JOB)))

        # when the store is emptied
        store.contract.empty_store(store)
        time.sleep(NOTICED_SECONDS)

        # then calls of both fail, and a manager that is opened now creates nothing
        then_the_process_is_refused(worker)
        then_refused("a lookup of a manager that was opened since", store.open().get_tasks_by_key, "job")
        then_refused("a lookup after that", store.manager.get_tasks_by_key, "job")
        then_the_process_is_refused(worker)

        # and once a third process has set it up, both work again
        store.spawn().ask("setup", at=0.0)
        then_empty_and_usable(store, [store.manager])
        demand("SEE-10", "the tasks that the other process finds", 1, len(worker.ask("look", **LOOK_FOR_JOB)))


def then_empty_and_usable(store: Store, managers: list[TaskManager]) -> None:
    for manager in managers:
        demand("SEE-10", "the tasks after setup", [], list(manager.list_user_tasks(1)))
        demand("SEE-10", "the count after setup", 0, manager.count())
    answer = tasks.get_tasks_by_key("job")
    demand("SEE-10", "a lookup after setup, and its error", ([], None), (list(answer), answer.error))
    demand("SEE-10", "whether a create makes a task", True, store.creates_a_task("job"))


LOOK_FOR_JOB: Final = {"operation": "get_tasks_by_key", "argument": "job"}


def then_every_call_is_refused(store: Store, manager: TaskManager, task: Fields) -> None:
    for asked, call in every_call(store, manager, task["id"]).items():
        then_refused(asked, call)


def then_refused(asked: str, call: Callable[..., object], *args: Any, **kwargs: Any) -> None:
    demand_error("SEE-10", f"{asked}, in a store that was emptied", ConfigurationError, call, *args, **kwargs)


def then_the_process_is_refused(worker: WorkerProcess) -> None:
    try:
        found = worker.ask("look", **LOOK_FOR_JOB)
    except ContractViolation as refusal:
        error = refusal.violations[0].found
        is_refused = error.startswith(("SchemaMissingError", "ConfigurationError"))
        demand("SEE-10", f"whether another process is refused, with {error!r}", True, is_refused)
    else:
        demand("SEE-10", "a lookup of another process", "an error", found)
