"""LIFE: every legal path into and out of each state, and the keys and lists after each end."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Literal

import pytest

from module_sdk.errors import IllegalTransitionError
from module_sdk_contract.data.reference import ACTIVE, ENDED, MOVES, STATUSES, Fields, row_of
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store, then_none
from module_sdk_contract.markers import clause
from module_sdk_contract.violations import ContractViolation, Violation, compare, demand, demand_error, raised

Entry = Literal["created", "imported"]
MAXIMUM_MOVES: Final = 3
ALL_AT_ONCE: Final = "interrupt_all"
"""The `end` of a walker that `interrupt_all` ends together with others."""
ALREADY_ENDED: Final = ""
"""The `end` of a walker whose task enters the store in an ended state."""
QUESTION: Final = {"ask": "Go on?"}
OUTCOMES: Final[dict[str, Fields]] = {
    "completed": {"result": 1},
    "failed": {"error": "E: failed"},
    "interrupted": {"error": "E: interrupted"},
}
# Every field that an update may change without changing the status.
EVERYTHING: Final = {
    "progress": 0.7,
    "label": "l",
    "checkpoint": [1],
    "result": 2,
    "error": "E: x",
    "confirmation": [3],
}


def paths(start: str, moves: int = MAXIMUM_MOVES) -> Iterator[tuple[str, ...]]:
    """Yield every path of at most `moves` legal moves from `start` through active states, `start` alone included."""
    yield (start,)
    if moves:
        for wanted in MOVES.get(start, ()):
            if wanted in ACTIVE:
                yield from ((start, *path) for path in paths(wanted, moves - 1))


@dataclasses.dataclass
class Walker:
    """A task, the path of states that it takes, and its end."""

    path: tuple[str, ...]
    end: str
    fields: Fields
    violation: Violation | None = None

    @property
    def entered_ended(self) -> bool:
        """Whether the task entered the store in an ended state."""
        return self.end == ALREADY_ENDED

    @property
    def id(self) -> str:
        return str(self.fields["id"])

    @property
    def key(self) -> str:
        return str(self.fields["task_key"])

    @property
    def name(self) -> str:
        return f"the task {self.key}"


class WalkerGroup:
    """All walkers that enter a store in one way. A walker that breaks a clause stops, so that no other is blamed."""

    def __init__(self, store: Store, entry: Entry, starts: Iterable[str]) -> None:
        self.store = store
        self.walkers = [self.walker(path, end) for start in starts for path in paths(start) for end in ends(path[-1])]
        if entry == "imported":
            store.given_imported(walker.fields for walker in self.walkers)
        else:
            for walker in self.walkers:
                self.note(walker, store.create(walker.fields)[0])

    def walker(self, path: tuple[str, ...], end: str) -> Walker:
        self.store.clock.advance(0.000_001)
        fields = self.store.fields(status=path[0], task_key=f"{'>'.join(path)}>{end}")
        # The other walkers have no payload before their end.
        if end in ("completed", "failed"):
            fields["checkpoint"] = [0]
        if path[0] == "waiting_confirmation":
            fields["confirmation"] = QUESTION
        # Some of the started tasks record when they started, and some do not.
        if path[0] != "pending" and end != "interrupted":
            fields["started_at"] = fields["created_at"]
        if end == ALREADY_ENDED:
            fields["finished_at"] = fields["created_at"]
        return Walker(path, end, fields)

    def note(self, walker: Walker, violation: Violation | None) -> None:
        """Keep the walker's first violation, since later ones may follow from it."""
        walker.violation = walker.violation or violation

    @property
    def walking(self) -> list[Walker]:
        return [walker for walker in self.walkers if walker.violation is None]

    @property
    def one_per_path(self) -> list[Walker]:
        """One walker per path, for the checks that cost more."""
        return [walker for walker in self.walking if walker.end == "failed"]

    def then_no_violation(self) -> None:
        """Judge the walkers of `interrupt_all` last: if single ends are wrong as well, those are the cause."""
        for is_one_of_many in (False, True):
            walkers = (walker for walker in self.walkers if (walker.end == ALL_AT_ONCE) is is_one_of_many)
            then_none(walker.violation for walker in walkers)

    # --- Steps ------------------------------------------------------------------------------------------------------

    def update(self, walker: Walker, clause_id: str, **changes: Any) -> None:
        """Change the task in store and reference, and compare the row and then the view."""
        self.store.clock.advance(0.001)
        asked = f"update({changes}) of {walker.name}"
        entry = self.store.reference.update(walker.id, self.store.clock(), **changes)
        assert entry is not None
        try:
            row = self.store.manager.update(walker.id, **changes)
        except Exception as error:
            self.note(walker, raised(clause_id, asked, row_of(entry), error))
            return
        self.note(walker, compare(clause_id, asked, row_of(entry), row) or self.view_violation(walker))

    def view_violation(self, walker: Walker, clause_id: str = "LIFE-08") -> Violation | None:
        """Compare the view; return a violation of the clause that the differing field belongs to."""
        violation = self.store.try_view(clause_id, walker.id, self.store.manager)
        if violation is not None and any(name in violation.where for name in ("started_at", "finished_at")):
            return dataclasses.replace(violation, clause="LIFE-07")
        return violation

    def move(self) -> None:
        """Move all walkers along their paths, one step at a time."""
        for step in range(1, MAXIMUM_MOVES + 1):
            for walker in self.walking:
                if step < len(walker.path):
                    status = walker.path[step]
                    extra = {"confirmation": QUESTION} if status == "waiting_confirmation" else {}
                    self.update(walker, "LIFE-01", status=status, **extra)

    def change_and_refuse(self) -> None:
        """Change every field without a move, and then try every illegal move."""
        for walker in self.one_per_path:
            self.update(walker, "LIFE-08", **EVERYTHING)
            illegal = [{"status": wanted} for wanted in STATUSES if wanted not in MOVES[walker.path[-1]]]
            self.refuse(walker, "LIFE-01", *illegal)

    def refuse(self, walker: Walker, clause_id: str, *moves: Fields) -> None:
        """Demand that each of these changes raises and that the task still reads as before."""
        for changes in moves:
            asked = f"update({changes}) of {walker.name}"
            update = functools.partial(self.store.manager.update, walker.id, **changes)
            try:
                demand_error(clause_id, asked, IllegalTransitionError, update)
            except ContractViolation as found:
                self.note(walker, found.violations[0])
        self.note(walker, self.view_violation(walker, clause_id))

    def end(self) -> None:
        many = [walker for walker in self.walking if walker.end == ALL_AT_ONCE]
        for walker in self.walking:
            if walker not in many and not walker.entered_ended:
                self.update(walker, "LIFE-01", status=walker.end, **OUTCOMES[walker.end])
        self.store.clock.advance(0.001)
        changed = self.store.manager.interrupt_all([walker.id for walker in many], "shutdown")
        for walker in many:
            self.store.reference.update(walker.id, self.store.clock(), status="interrupted", error="shutdown")
            self.note(walker, self.store.try_view("LIFE-11", walker.id, self.store.manager))
        if all(walker.violation is None for walker in many):
            demand("LIFE-11", f"interrupt_all of {len(many)} tasks", len(many), changed)
        for walker in (*self.one_per_path, *(walker for walker in self.walking if walker.entered_ended)):
            self.refuse(walker, "LIFE-02", {"label": "late"}, {"status": "running"})

    def claim(self, walker: Walker, clause_id: str) -> None:
        """Create with the walker's key: the store must make a task or return the holder, as the reference does."""
        self.store.clock.advance(0.001)
        violation, _ = self.store.create(self.store.fields(task_key=walker.key, user_id=2))
        self.note(walker, violation and dataclasses.replace(violation, clause=clause_id))

    def claim_all(self, walkers: Iterable[Walker]) -> None:
        for walker in walkers:
            self.claim(walker, "DEDUP-02")

    def follow(self) -> None:
        """Use each freed key again, for a task that is created or imported in turn."""
        for number, walker in enumerate(self.walking):
            clause_id = "LIFE-11" if walker.end == ALL_AT_ONCE else "DEDUP-02"
            if number % 2:
                self.claim(walker, clause_id)
                continue
            fields = self.store.fields(task_key=walker.key, user_id=2)
            self.store.reference.create(fields)
            asked = f"import of one more with the key of {walker.name}"
            try:
                written = self.store.manager.import_tasks([task_of(fields)])
            except Exception as error:
                self.note(walker, raised(clause_id, asked, 1, error))
            else:
                self.note(walker, compare(clause_id, asked, 1, written))


def ends(status: str) -> Sequence[str]:
    if status not in ACTIVE:
        return (ALREADY_ENDED,)
    return (*(wanted for wanted in MOVES[status] if wanted not in ACTIVE), ALL_AT_ONCE)


class WayClauses:
    @clause("LIFE-01", "LIFE-02", "LIFE-07", "LIFE-08", "LIFE-11", "DEDUP-02", "ORDER-06", "KEEP-01", "KEEP-02")
    @pytest.mark.parametrize("entry", ["created", "imported"])
    @pytest.mark.parametrize("starts", list(zip(ACTIVE, ENDED, strict=True)), ids=ACTIVE)
    def test_every_path_into_a_state_and_out_of_it(self, store: Store, entry: Entry, starts: tuple[str, str]) -> None:
        group = WalkerGroup(store, entry, starts)
        group.move()
        group.claim_all(group.one_per_path)
        group.change_and_refuse()
        group.end()
        group.follow()
        group.then_no_violation()

        then_lists_are_right(store, "ORDER-06", group)
        then_none(store.try_view("LIFE-02", walker.id, store.manager) for walker in group.walkers)

        store.clock.advance(100)
        gone = store.reference.prune(store.clock() - 50_000_000)
        demand("KEEP-01", "prune of all that ended", gone, store.manager.prune(50))
        then_lists_are_right(store, "KEEP-02", group)
        # The tasks that took the freed keys still hold them.
        group.claim_all(group.one_per_path)
        group.then_no_violation()


def then_lists_are_right(store: Store, clause_id: str, group: WalkerGroup) -> None:
    """Compare lookups by user, prefix and key: a key has the task and its follower, or after a prune the follower."""
    lookups: list[tuple[str, Any]] = [("list_user_tasks", 1), ("list_user_tasks", 2)]
    lookups += [("get_tasks_by_key_prefix", start) for start in ("", *ACTIVE)]
    lookups += [("get_tasks_by_key", walker.key) for walker in group.one_per_path]
    then_none(store.try_lookup(clause_id, operation, argument) for operation, argument in lookups)
