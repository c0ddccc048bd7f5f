"""LIFE-03 and LIFE-09: racing updates."""

from __future__ import annotations

import functools
import itertools
from typing import Any, Final

from module_sdk.errors import IllegalTransitionError
from module_sdk_contract.harness import Store
from module_sdk_contract.marks import clause, tier
from module_sdk_contract.races import race
from module_sdk_contract.violations import demand

ROUNDS: Final = 20
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
    def test_of_racing_ends_one_wins(self, store: Store) -> None:
        managers = store.some_managers(3)
        for number in range(ROUNDS):
            task_id = store.given(task_key=f"job:{number}", status="running", progress=0.25)["id"]

            outcomes = race(
                [
                    functools.partial(manager.update, task_id, **changes)
                    for manager, changes in zip(itertools.cycle(managers), (*ENDS, PROGRESS), strict=False)
                ]
            )

            won = [changes for changes, outcome in zip(ENDS, outcomes, strict=False) if isinstance(outcome, dict)]
            lost = [outcome for outcome in outcomes if not isinstance(outcome, dict)]
            demand("LIFE-03", "how many ends were told that they won", 1, len(won))
            demand("LIFE-03", "what the others were told", {IllegalTransitionError}, {type(error) for error in lost})
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
    @clause("LIFE-09")
    def test_concurrent_updates_of_different_fields_all_stay(self, store: Store) -> None:
        managers = store.some_managers(3)
        changes: dict[str, Any] = {"progress": 0.5, "label": "renamed", "checkpoint": [1, 2], "error": "E: seen"}
        for _ in range(ROUNDS):
            task_id = store.given(status="running")["id"]

            outcomes = race(
                [
                    functools.partial(manager.update, task_id, **{name: value})
                    for manager, (name, value) in zip(itertools.cycle(managers), changes.items(), strict=False)
                ]
            )

            rows = store.then_no_errors("LIFE-09", outcomes)
            task = store.manager.get(task_id)
            demand("LIFE-09", "all the changes", changes, {name: getattr(task, name) for name in changes})
            demand("LIFE-05", "updated_at of each change", len(changes), len({row["updated_at"] for row in rows}))
