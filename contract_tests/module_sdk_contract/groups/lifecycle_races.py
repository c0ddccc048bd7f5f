"""LIFE-03 and LIFE-09: racing updates of threads and of processes."""

from __future__ import annotations

import functools
import itertools
import time
from typing import Any, Final

from module_sdk.errors import IllegalTransitionError
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.processes.races import PATIENCE_SECONDS, Rounds, demand_overlaps, have_met, race
from module_sdk_contract.violations import demand

ROUNDS: Final = 20
STEPS: Final = 64
ENDS: Final[tuple[dict[str, Any], ...]] = (
    {"status": "completed", "result": {"by": "first"}},
    {"status": "failed", "error": "ValueError: second"},
    {"status": "interrupted", "error": "cancelled"},
    {"status": "completed", "result": {"by": "fourth"}},
    {"status": "failed", "error": "KeyError: fifth"},
)
PROGRESS: Final = {"progress": 0.5, "checkpoint": {"at": "half"}}


class LifeRaces:
    @tier("core")
    @clause("LIFE-03")
    def test_exactly_one_of_racing_ends_wins(self, store: Store) -> None:
        managers = store.some_managers(3)
        rounds = Rounds(ROUNDS)
        for number in rounds:
            task_id = store.given(task_key=f"job:{number}", status="running", progress=0.25)["id"]

            outcomes = rounds.race(
                [
                    functools.partial(manager.update, task_id, **changes)
                    for manager, changes in zip(itertools.cycle(managers), (*ENDS, PROGRESS), strict=False)
                ]
            )

            won = [changes for changes, outcome in zip(ENDS, outcomes, strict=False) if isinstance(outcome, dict)]
            lost = [outcome for outcome in outcomes if not isinstance(outcome, dict)]
            demand("LIFE-03", "how many of the racing ends succeeded", 1, len(won))
            demand("LIFE-03", "the errors of the others", {IllegalTransitionError}, {type(error) for error in lost})
            progressed = isinstance(outcomes[-1], dict)
            expected = {
                "result": None,
                "error": None,
                "progress": 1.0 if won[0]["status"] == "completed" else 0.5 if progressed else 0.25,
                "checkpoint": PROGRESS["checkpoint"] if progressed else None,
            } | won[0]
            task = store.manager.get(task_id)
            demand("LIFE-03", "the task after the race", expected, {name: getattr(task, name) for name in expected})
            demand("LIFE-03", "the key is free", True, store.creates_a_task(f"job:{number}"))

    @tier("core")
    @clause("LIFE-03")
    def test_progress_never_undoes_a_cancel(self, store: Store) -> None:
        managers = store.some_managers(2)

        reports = 0

        def report_progress(task_id: str) -> float:
            """Report progress until the task is cancelled, and return the last progress that was acknowledged."""
            nonlocal reports
            acknowledged = 0.0
            until = time.monotonic() + PATIENCE_SECONDS
            while time.monotonic() < until:
                progress = (reports % STEPS + 1) / STEPS
                try:
                    managers[0].update(task_id, progress=progress, checkpoint={"at": reports})
                except IllegalTransitionError:
                    return acknowledged
                acknowledged = progress
                reports += 1
            return acknowledged

        def cancel(task_id: str, after: int) -> float:
            until = time.monotonic() + PATIENCE_SECONDS
            while reports < after and time.monotonic() < until:
                time.sleep(0)
            managers[-1].update(task_id, status="interrupted", error="cancelled")
            return 0.0

        for number in range(ROUNDS):
            task_id = store.given(task_key=f"job:{number}", status="running")["id"]
            after = reports + number % 4 + 1

            outcomes = race([functools.partial(report_progress, task_id), functools.partial(cancel, task_id, after)])

            acknowledged = store.then_no_errors("LIFE-03", outcomes)[0]
            task = store.manager.get(task_id)
            assert task is not None
            found = (task.status, task.error, task.progress, task.finished_at)
            expected = ("interrupted", "cancelled", acknowledged, task.updated_at)
            demand("LIFE-03", "status, error, progress and finished_at after a cancel", expected, found)
            demand("LIFE-03", "the key is free", True, store.creates_a_task(f"job:{number}"))

    @tier("core")
    @clause("LIFE-03")
    def test_exactly_one_of_the_racing_ends_of_processes_wins(self, store: Store) -> None:
        store.need("shared")
        ends = ENDS[:3]
        workers = [store.spawn() for _ in ends]
        for worker in workers:
            worker.ask("look", operation="list_user_tasks", argument=1)
        overlaps, give_up = 0, time.monotonic() + PATIENCE_SECONDS

        while overlaps < ROUNDS and time.monotonic() < give_up:
            task_ids = [store.given(status="running")["id"] for _ in range(2 * ROUNDS)]
            start = time.time() + 0.1
            for worker, changes in zip(workers, ends, strict=True):
                worker.start("end_each", task_ids=task_ids, changes=changes, at=start)
            answers = [worker.answer() for worker in workers]

            for task_id, *outcomes in zip(task_ids, *answers, strict=True):
                won = [changes for changes, (has_won, _) in zip(ends, outcomes, strict=True) if has_won]
                demand("LIFE-03", "how many processes ended the task", 1, len(won))
                expected = {"result": None, "error": None, "progress": 1.0 if "result" in won[0] else 0.0} | won[0]
                task = store.manager.get(task_id)
                found = {name: getattr(task, name) for name in expected}
                demand("LIFE-03", "the task after the race", expected, found)
                overlaps += have_met([span for _, span in outcomes])
        demand_overlaps("processes met", ROUNDS, [overlaps])

    @tier("core")
    @clause("LIFE-09", "LIFE-05")
    def test_concurrent_updates_of_different_fields_all_stay(self, store: Store) -> None:
        managers = store.some_managers(3)
        changes: dict[str, Any] = {"progress": 0.5, "label": "renamed", "checkpoint": [1, 2], "error": "E: seen"}
        rounds = Rounds(ROUNDS)
        for _ in rounds:
            task_id = store.given(status="running")["id"]

            outcomes = rounds.race(
                [
                    functools.partial(manager.update, task_id, **{name: value})
                    for manager, (name, value) in zip(itertools.cycle(managers), changes.items(), strict=False)
                ]
            )

            rows = store.then_no_errors("LIFE-09", outcomes)
            task = store.manager.get(task_id)
            demand("LIFE-09", "all the changes", changes, {name: getattr(task, name) for name in changes})
            demand("LIFE-05", "updated_at of each change", len(changes), len({row["updated_at"] for row in rows}))
