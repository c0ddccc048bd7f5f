"""The writing half of a walk: each step runs on the store and on the reference, and becomes a line of a script.

The arguments of steps are small numbers, which the search draws and shrinks: see `state_machine.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

import module_sdk
from module_sdk.backends import TaskConflictError
from module_sdk.errors import IllegalTransitionError
from module_sdk_contract.calls import UNKNOWN_ID, ordered_view, scope, session_of
from module_sdk_contract.data.collision_sweep import USER
from module_sdk_contract.data.reference import ACTIVE, EVERYWHERE, STATUSES, Fields, IllegalMove, row_of, view_of
from module_sdk_contract.factories import task_of
from module_sdk_contract.search.random_walk_reads import WalkReads
from module_sdk_contract.search.script import Refused, named, outcome_of, pick, shown_task

CLOCK_STEPS: Final = (0.0, 0.000001, 0.001, 1.0, 60.0, -1.0, -0.000001)
AGES: Final = (0, 1, 60, 0.001)
VALUES: Final[tuple[Any, ...]] = (
    None, {"a": 1}, [True, 1, 1.0], {}, 0, "é😀", {"$set": {"a.b": 2**70}}, [], False, {"z": None, "a": []},
)  # fmt: skip
CHANGES: Final[tuple[Fields, ...]] = (
    *({"status": status} for status in ("running", "completed", "failed", "interrupted", "waiting_confirmation")),
    {"progress": 0.5},
    {"label": "renamed"},
    {"status": "completed", "result": {"rows": [1, True]}},
    {"status": "failed", "error": "E: 😀"},
    {"status": "waiting_confirmation", "confirmation": {"ask": "?"}},
    {"progress": 1 / 3, "label": ""},
    {"status": "pending"},
)


class Walk(WalkReads):
    """One run of steps. Every step raises `ContractViolation` unless the store answers like the reference."""

    def fields(self, numbers: Mapping[str, int]) -> Fields:
        """Return the fields of a new task, which the numbers pick."""
        created_at = self.store.clock() - numbers["since"]
        return self.store.fields(
            task_key=pick(self.keys, numbers["key"]),
            user_id=pick(self.users, numbers["user"]),
            organization_id=pick(self.organizations, numbers["organization"]),
            status=pick(STATUSES, numbers["status"]),
            checkpoint=pick(VALUES, numbers["value"]),
            created_at=created_at,
        )

    # --- Writes -----------------------------------------------------------------------------------------------------

    def create(self, numbers: Mapping[str, int]) -> None:
        self.submit(self.fields(numbers))

    def create_again(self, number: int) -> None:
        """Create an existing task again, as a caller retries after a lost reply."""
        task = self.known(number)
        if task is not None:
            self.submit({**task, "status": "pending", "started_at": None, "finished_at": None})

    def submit(self, fields: Fields) -> None:
        self.writer = self.manager
        self.script.append(f"manager.create({shown_task(fields)})")
        is_retry = self.reference.find(fields["id"]) is not None
        entry, created = self.reference.create(fields)
        found = outcome_of(lambda: self.manager.create(task_of(fields)))
        if isinstance(found, Refused):
            self.fail("DEDUP-11" if is_retry else "DEDUP-02", (entry["id"], created), found)
        task, was_created = found
        if (task.id, was_created) != (entry["id"], created):
            clause = "DEDUP-02"
            if is_retry:
                clause = "DEDUP-11"
            elif not created and not was_created:
                clause = "DEDUP-01"
            elif created and task.organization_id != entry["organization_id"]:
                clause = "SCOPE-12"
            elif created and task.task_key != entry["task_key"]:
                clause = "DEDUP-04"
            elif created and entry["task_key"] is None:
                clause = "DEDUP-03"
            self.fail(clause, (entry["id"], created), (task.id, was_created))
        if created and not is_retry:
            self.reference.settle(entry, task.created_at)
        else:
            self.demand("DEDUP-11" if is_retry else "DEDUP-01", view_of(entry), ordered_view(task.to_view()))

    def import_tasks(self, new: Sequence[Mapping[str, int]], again: bool) -> None:
        """Import new tasks, and before them an existing one if `again` is true."""
        self.writer = self.manager
        known = self.known(0)
        tasks = [*([known] if again and known else []), *map(self.fields, new)]
        self.script.append(f"manager.import_tasks([{', '.join(map(shown_task, tasks))}])")
        written, refused = self.reference.import_all(tasks)
        expected: Any = written if refused is None else Refused(TaskConflictError.__name__)
        self.demand("DEDUP-09", expected, outcome_of(lambda: self.manager.import_tasks(map(task_of, tasks))))

    def update(self, number: int, change: int, value: int, choice: int) -> None:
        self.writer = self.manager
        task = self.known(number)
        changes = dict(pick((*CHANGES, {"checkpoint": pick(VALUES, value)}), change))
        task_id = UNKNOWN_ID if task is None else task["id"]
        organization = self.scope(task, choice)
        asked = [ascii(task_id), *named(changes), *named(scope(organization))]
        self.script.append(f"manager.update({', '.join(asked)})")
        status = None if task is None else task["status"]
        clause = "LIFE-08"
        try:
            entry = self.reference.update(task_id, self.store.clock(), organization, **changes)
        except IllegalMove:
            expected: Any = Refused(IllegalTransitionError.__name__)
            clause = "LIFE-01" if status in ACTIVE else "LIFE-02"
        else:
            expected = None if entry is None else row_of(entry)
        found = outcome_of(lambda: self.manager.update(task_id, **changes, **scope(organization)))
        if expected is None:
            clause = "LIFE-10" if task is None else "SCOPE-11"
        elif isinstance(expected, dict) and isinstance(found, dict):
            clause = "LIFE-05" if found | {"updated_at": expected["updated_at"]} == expected else clause
        elif "status" in changes and clause == "LIFE-08":
            clause = "LIFE-01"
        self.demand(clause, expected, found)

    def cancel(self, number: int, choice: int) -> None:
        """Cancel a task through the facade, in a session."""
        self.writer = self.manager
        task = self.known(number)
        task_id = UNKNOWN_ID if task is None else task["id"]
        organization = self.scope(task, choice)
        asked = "all_organizations=True"
        if organization is not EVERYWHERE:
            asked = f"user={{'id': 1, 'organization_id': {organization!a}}}"
        self.script.append(f"with module_sdk.session({asked}): module_sdk.tasks.cancel({task_id!a})")
        try:
            now = self.store.clock()
            entry = self.reference.update(task_id, now, organization, status="interrupted", error="cancelled")
        except IllegalMove:
            entry = None
        with session_of(organization):
            found = outcome_of(lambda: module_sdk.tasks.cancel(task_id))
        in_scope = organization in (EVERYWHERE, None if task is None else task["organization_id"])
        self.demand("LIFE-01" if in_scope else "SCOPE-10", entry is not None, found)

    def interrupt_all(self, number: int, count: int) -> None:
        """Interrupt `count` tasks from that number on, whether active or ended, and an unknown one."""
        self.writer = self.manager
        tasks = [task for each in range(count) if (task := self.known(number + each)) is not None]
        ids = [*(task["id"] for task in tasks), UNKNOWN_ID]
        self.script.append(f"manager.interrupt_all({ids!a}, 'E: many')")
        active = {task["id"] for task in tasks if task["status"] in ACTIVE}
        for task_id in active:
            self.reference.update(task_id, self.store.clock(), status="interrupted", error="E: many")
        self.demand("LIFE-11", len(active), outcome_of(lambda: self.manager.interrupt_all(ids, "E: many")))

    def create_for_every_key(self) -> None:
        """Create a task for every key in every organization, whether or not it has a holder."""
        for organization, key in itertools.product(self.organizations, filter(None, self.keys)):
            self.submit(self.store.fields(task_key=key, user_id=USER, organization_id=organization))
            self.compare_lookup("get_tasks_by_key", key, organization, None)

    def prune(self, age: int, organization: int, user: int, batch_size: int) -> None:
        self.writer = self.manager
        older = pick(AGES, age)
        scopes: dict[str, Any] = {"organization_id": pick((EVERYWHERE, *self.organizations), organization)}
        scopes["user_id"] = pick((EVERYWHERE, *self.users), user)
        arguments = {name: value for name, value in scopes.items() if value is not EVERYWHERE}
        arguments["batch_size"] = batch_size
        self.script.append(f"manager.prune({', '.join([repr(older), *named(arguments)])})")
        expected = self.reference.prune(self.store.clock() - int(older * 1_000_000), **scopes)
        self.demand("KEEP-01", expected, outcome_of(lambda: self.manager.prune(older, **arguments)))

    # --- The store as a whole ---------------------------------------------------------------------------------------

    def advance(self, step: int) -> None:
        seconds = pick(CLOCK_STEPS, step)
        self.script.append(f"clock.advance({seconds!r})")
        self.store.clock.advance(seconds)

    def switch(self) -> None:
        """Continue with the other manager of the same store, if managers can share it."""
        if "shared" not in self.store.capabilities:
            return
        if len(self.managers) == 1:
            self.managers.append(self.store.open())
            self.script.append("other = open_manager(url, namespace=namespace, clock=clock)")
        first, second = self.managers
        self.store.manager = second if self.manager is first else first
        self.script.append("manager, other = other, manager")
        self.store.use_facade()

    def reopen(self) -> None:
        """Close the manager and continue with a new one, if the store is durable."""
        if "durable" not in self.store.capabilities:
            return
        index = self.managers.index(self.manager)
        was_writer = self.writer is self.manager
        self.script.append("manager.close()")
        self.script.append("manager = open_manager(url, namespace=namespace, clock=clock)")
        self.demand("DISC-06", None, outcome_of(self.manager.close))
        self.store.manager = self.managers[index] = self.store.open()
        self.writer = self.manager if was_writer else self.writer
        self.store.use_facade()
