"""The sweep: write one family to a store and compare every read with the reference.

It is deterministic on purpose. Related values find bugs, and a fixed sweep over them finds the same bugs every time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final, Literal

from module_sdk_contract.data.families import Family
from module_sdk_contract.data.reference import Fields
from module_sdk_contract.harness import Store, then_none
from module_sdk_contract.violations import Violation

Route = Literal["created", "imported"]
START: Final = 1_709_208_000_000_000
"""2024-02-29 12:00 UTC, in microseconds."""
HOME: Final = 3
"""The organization of every task in which the family does not vary it, as are `USER` and `KEY`."""
USER: Final = 1
KEY: Final = "k-home"
STRANGER: Final = "nobody has this"
"""An organization without tasks."""
ENDS: Final = ("completed", "failed", "interrupted")
ALWAYS: Final = ("SCOPE-01", "SCOPE-02", "SCOPE-03", "ORDER-02", "ORDER-03", "DEDUP-04", "SCOPE-12", "SEE-01")
"""The clauses that every sweep decides, in addition to the family's own."""


def family_tasks(family: Family) -> Iterator[Fields]:
    """Yield the fields of the tasks: each text as key, user, organization and all three; and tasks that lack one."""
    pending = itertools.count()
    for key, user, organization, status in (
        *((text, USER, HOME, "pending") for text in family.texts),
        *((KEY, identifier, HOME, "ended") for identifier in family.ids),
        *((KEY, USER, identifier, "pending") for identifier in family.ids),
        *((str(identifier)[:256], identifier, identifier, "ended") for identifier in family.ids),
        (KEY, USER, None, "pending"),
        (None, USER, HOME, "pending"),
        (None, USER, HOME, "running"),
        (None, USER, None, "pending"),
        (KEY, family.ids[0], None, "ended"),
    ):
        index = next(pending)
        # Equal times and single microseconds on both sides of a full second, in another order than that of writing.
        created_at = START + 999_998 + (index * 7) % 5
        yield {
            "task_key": key,
            "user_id": user,
            "organization_id": organization,
            "status": ENDS[index % 3] if status == "ended" else status,
            "created_at": created_at,
            "updated_at": created_at + (index * 3) % 7 * 1_000_000,
        }


def family_reads(family: Family) -> Iterator[tuple[str, str, Any, Any, int | None]]:
    """Yield `(clause, operation, argument, organization, limit)` of every lookup that can distinguish the texts."""
    by_user, by_key, by_prefix = "list_user_tasks", "get_tasks_by_key", "get_tasks_by_key_prefix"
    for text in family.texts:
        yield family.key, by_key, text, HOME, None
        yield family.key, by_key, text, None, None
    for prefix in family.prefixes():
        yield family.prefix, by_prefix, prefix, HOME, None
        yield family.prefix, by_prefix, prefix, HOME, 2
    for identifier in family.ids:
        yield family.user, by_user, identifier, HOME, None
        yield family.user, by_user, identifier, identifier, None
        yield family.user, by_user, identifier, None, None
        yield family.organization, by_user, USER, identifier, None
        yield family.organization, by_key, KEY, identifier, None
        yield family.organization, by_prefix, KEY[:2], identifier, None
        yield family.organization, by_prefix, "", identifier, 1
    for operation, argument in ((by_user, USER), (by_key, KEY), (by_prefix, ""), (by_prefix, KEY)):
        yield "SCOPE-02", operation, argument, None, None
        yield "SCOPE-01", operation, argument, STRANGER, None
        yield "SCOPE-01", operation, argument, HOME, 1


def sweep(store: Store, family: Family, route: Route) -> None:
    """Write the family and read it back in every way. Raise `ContractViolation` with all differences."""
    violations: list[Violation | None] = []
    tasks = list(family_tasks(family))
    if route == "created":
        violations += [store.try_create(fields) for fields in tasks]
    else:
        # The facade is the same as for the other route.
        store.asks_facade = False
        store.given_imported(tasks)
    for clause, operation, argument, organization, limit in family_reads(family):
        violations.append(store.try_lookup(clause, operation, argument, organization, limit=limit))
    violations += [store.try_view("SEE-01", task["id"]) for task in store.reference.tasks]
    then_none(violations)
