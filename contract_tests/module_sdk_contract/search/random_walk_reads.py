"""The reads of a random walk, and the state of its run: the store, the texts and the script."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from module_sdk.backends import TaskManager
from module_sdk.models import background_tasks
from module_sdk_contract.calls import LOOKUPS, UNKNOWN_ID, ordered_view, scope, session_of
from module_sdk_contract.data.collision_sweep import HOME, KEY, USER
from module_sdk_contract.data.comparison import difference, shortened
from module_sdk_contract.data.families import Family
from module_sdk_contract.data.reference import (
    EVERYWHERE,
    PAYLOADS,
    ROW_FIELDS,
    STATUSES,
    TIMES,
    Fields,
    Reference,
    Row,
)
from module_sdk_contract.harness import Store
from module_sdk_contract.search.script import Refused, named, outcome_of, pick
from module_sdk_contract.violations import ContractViolation, Violation, compare

TEXTS_PER_RUN: Final = 5
"""The number of texts of the family that one run uses."""
START: Final = "2026-01-01T00:00:00+00:00"
FILTER_FIELDS: Final = ("status", "task_key", "user_id", "organization_id", "label", "id", "module")
SORTS: Final = (None, *((field, direction) for field in ROW_FIELDS for direction in ("asc", "desc")))


class WalkReads:
    """A run in a fresh namespace, with keys, users and organizations from one family."""

    def __init__(self, store: Store, family: Family, first: int) -> None:
        self.store = store
        self.family = family
        store.random = random.Random(store.seed)  # noqa: S311  # the same ids in every run
        store.clock.set(START)
        store.reference = Reference()
        store.use_fresh_namespace()
        store.manager.setup()
        self.managers: list[TaskManager] = [store.manager]
        self.writer = store.manager
        texts = [pick(family.texts, first + number) for number in range(min(TEXTS_PER_RUN, len(family.texts)))]
        ids = [pick(family.ids, first + number) for number in range(min(TEXTS_PER_RUN, len(family.ids)))]
        self.keys: list[str | None] = [*texts, None, KEY]
        self.users = [USER, *ids]
        self.organizations = [HOME, None, *ids[:3]]
        self.script: list[str] = []

    def close(self) -> None:
        for manager in self.managers:
            manager.close()

    @property
    def reference(self) -> Reference:
        return self.store.reference

    @property
    def manager(self) -> TaskManager:
        return self.store.manager

    def known(self, number: int) -> Fields | None:
        """Return a task of the store, or `None` if the store is empty."""
        return pick(self.reference.tasks, number) if self.reference.tasks else None

    def scope(self, task: Fields | None, choice: int) -> Any:
        """Return a scope: `EVERYWHERE`, the task's organization, or an organization of the run."""
        own = None if task is None else task["organization_id"]
        return pick((EVERYWHERE, own, *self.organizations), choice)

    # --- Reads ------------------------------------------------------------------------------------------------------

    def look_up(self, operation: int, argument: int, cut: int, organization: int, limit: int | None) -> None:
        name = pick(LOOKUPS, operation)
        wanted: Any = pick(self.users if name == "list_user_tasks" else self.keys, argument)
        if name == "get_tasks_by_key_prefix":
            wanted = (wanted or "")[: max(0, len(wanted or "") - cut)]
        elif wanted is None:
            wanted = ""
        self.compare_lookup(name, wanted, pick(self.organizations, organization), limit)

    def compare_lookup(self, name: str, argument: Any, organization: Any, limit: int | None) -> None:
        asked = named({} if limit is None else {"limit": limit})
        self.script.append(f"manager.{name}({', '.join([ascii(argument), ascii(organization), *asked])})")
        family = self.family
        clauses = {"list_user_tasks": family.user, "get_tasks_by_key": family.key}
        clause = clauses.get(name, family.prefix) if argument != "" else "PREFIX-04"
        violation = self.store.try_lookup(clause, name, argument, organization, limit=limit)
        if violation is not None:
            expected = self.reference.lookup(name, argument, organization)
            found = outcome_of(lambda: getattr(self.manager, name)(argument, organization, limit=limit))
            raise ContractViolation([self.refined(violation, expected, limit, found)])
        self.script.pop()

    def refined(self, violation: Violation, everything: list[Row], limit: int | None, found: Any) -> Violation:
        """Return the violation with a more specific clause if only the contents or the number of rows differ."""
        clause = violation.clause
        expected = everything[:limit]
        if isinstance(found, list):
            ids = [row.get("id") for row in found]
            if ids == [row["id"] for row in expected]:
                clause = next(
                    (self.blamed(*pair) for pair in zip(expected, found, strict=True) if differ(*pair)), clause
                )
            elif limit is not None and set(ids) <= {row["id"] for row in everything}:
                clause = "ORDER-05"
        return dataclasses.replace(violation, clause=clause)

    def page(self, numbers: Mapping[str, int]) -> None:
        """Compare a page without filters, or filtered by values of one task."""
        task = self.known(numbers["task"])
        field = pick(FILTER_FIELDS, numbers["task"])
        filters: dict[str, Any] | None = None
        if task is not None:
            value = task[field]
            text = "" if value is None else str(value)
            filters = pick(
                (
                    None,
                    {field: value} if value is not None or field in ("task_key", "organization_id") else {},
                    {field: [value, value] if value is not None else []},
                    {f"{field}__contains": text[1:3]},
                    {f"{field}__startswith": text[:2]},
                    {field: []},
                    {"status": task["status"], f"{field}__contains": text[:1]},
                ),
                numbers["kind"],
            )
        organization = pick((EVERYWHERE, *self.organizations), numbers["organization"])
        self.compare_page(filters, pick(SORTS, numbers["sort"]), numbers["offset"], numbers["limit"], organization)

    def compare_page(
        self, filters: dict[str, Any] | None, sort: tuple[str, str] | None, offset: int, limit: int, organization: Any
    ) -> None:
        arguments: dict[str, Any] = {"filters": filters, "sort": sort and {"field": sort[0], "direction": sort[1]}}
        arguments |= {"offset": offset, "limit": limit, **scope(organization)}
        self.script.append(f"manager.page({', '.join(named(arguments))})")
        clause = "MODEL-02" if filters else "MODEL-09" if sort is None else "ORDER-09"
        if any(value == [] for value in (filters or {}).values()):
            clause = "MODEL-03"
        elif any("__" in name for name in filters or {}):
            clause = "MODEL-05"
        violation = self.store.try_page(clause, filters, sort, offset=offset, limit=limit, organization_id=organization)
        violation = violation or self.store.try_count("MODEL-07", filters, organization)
        if violation is not None:
            raise ContractViolation([violation])
        self.script.pop()

    def view(self, number: int, choice: int) -> None:
        task = self.known(number)
        self.compare_view(UNKNOWN_ID if task is None else task["id"], self.scope(task, choice))

    def compare_view(self, task_id: str, organization: Any) -> None:
        self.script.append(f"manager.get({', '.join([ascii(task_id), *named(scope(organization))])})")
        expected = self.reference.view(task_id, organization)
        found = outcome_of(lambda: self.manager.get(task_id, **scope(organization)))
        if found is not None and not isinstance(found, Refused):
            found = ordered_view(found.to_view())
        clause = "SEE-01" if expected is None and self.reference.find(task_id) is None else "SCOPE-11"
        if isinstance(expected, dict):
            clause = self.blamed(expected, found) if isinstance(found, dict) else "SEE-01"
        self.demand(clause, expected, found)
        with session_of(organization):
            shown = outcome_of(lambda: background_tasks.view(task_id))
        if isinstance(shown, dict):
            shown = ordered_view(shown)
        self.demand("MODEL-10" if expected is None else "ROW-06", expected, shown)
        self.script.pop()

    def blamed(self, expected: Fields, found: Fields) -> str:
        """Return the clause that a wrong row or view of the right task breaks."""
        differing = {name for name in expected if differ(expected[name], found.get(name))}
        if set(expected) != set(found):
            return "ROW-01"
        if self.writer is not self.manager and differing & {"status", "updated_at"}:
            return "SEE-02"
        for names, clause in ((PAYLOADS, "ROW-07"), (("label", "error"), "ROW-04"), (("progress",), "ROW-03")):
            if differing and differing <= set(names):
                return clause
        return "ROW-02" if differing and differing <= set(TIMES) else "SEE-01"

    def read_everything(self) -> None:
        """Compare every read whose answer the steps can have changed."""
        for organization in self.organizations:
            for user in self.users:
                self.compare_lookup("list_user_tasks", user, organization, None)
            for key in filter(None, self.keys):
                self.compare_lookup("get_tasks_by_key", key, organization, None)
                self.compare_lookup("get_tasks_by_key_prefix", key[:-1], organization, None)
            self.compare_lookup("get_tasks_by_key_prefix", "", organization, None)
            self.compare_lookup("get_tasks_by_key_prefix", "", organization, 2)
            self.compare_page(None, None, 0, 100, organization)
        for sort in (("task_key", "asc"), ("created_at", "desc"), ("status", "asc")):
            for offset in range(0, len(self.reference.tasks) + 3, 3):
                self.compare_page(None, sort, offset, 3, EVERYWHERE)
        for status in STATUSES:
            self.compare_page({"status": status}, None, 0, 100, EVERYWHERE)
        for task in list(self.reference.tasks):
            self.compare_view(task["id"], EVERYWHERE)

    # --- Failing ----------------------------------------------------------------------------------------------------

    def demand(self, clause: str, expected: Any, found: Any) -> None:
        """Raise `ContractViolation` for the last line of the script unless the two values are equal."""
        violation = compare(clause, self.script[-1], expected, found)
        if violation is not None:
            raise ContractViolation([violation])

    def fail(self, clause: str, expected: Any, found: Any) -> NoReturn:
        raise ContractViolation([Violation(clause, self.script[-1], shortened(expected), shortened(found))])


def differ(expected: object, found: object) -> bool:
    return difference(expected, found) is not None
