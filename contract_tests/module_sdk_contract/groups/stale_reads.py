"""MODEL, ORDER-09 and SEE: reads before and after each kind of change, by the writer and by others."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Final

from module_sdk_contract.data.comparison import shortened
from module_sdk_contract.data.reference import ACTIVE, MOVES, STATUSES, Fields
from module_sdk_contract.harness import Store, then_none
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.processes.actors import Actor, ProcessActor, ThreadActor
from module_sdk_contract.questions import (
    HOME,
    KEY,
    OTHER_KEY,
    OTHER_USER,
    RENAMED,
    Question,
    Write,
    asked_afresh,
    carry_out_in,
    expected_answers,
    question,
    questions_about,
    questions_of_states,
    repeated_questions,
    some_questions,
    write,
)
from module_sdk_contract.violations import compare, demand

SECOND: Final = 1_000_000
TASKS_PER_ROUND: Final = 6
MIDDLE_SECONDS: Final = 8.5
"""A time between two changes, after the start of a round."""
ENDS: Final[tuple[dict[str, Any], ...]] = (
    {"status": "failed", "error": "E: no"},
    {"status": "interrupted", "error": "cancelled"},
    {"status": "running"},
)


class NoticeClauses:
    @clause("MODEL-02", "MODEL-03", "MODEL-04", "MODEL-05", "MODEL-06", "MODEL-07", "MODEL-09", "ORDER-09", "SEE-01")
    def test_every_read_shows_each_kind_of_change(self, store: Store) -> None:
        then_all_notice(store, Actor("the writer", store.manager))

    @clause("MODEL-02", "MODEL-07", "MODEL-09", "ORDER-09")
    def test_every_list_shows_each_move_from_each_state(self, store: Store) -> None:
        moves = [(before, after) for before, afters in MOVES.items() for after in afters]
        fields = {"organization_id": HOME, "created_at": store.clock() - SECOND}
        tasks = store.given_imported(
            {**fields, "status": status} for status in [*(before for before, _ in moves), *ACTIVE, *ACTIVE, *STATUSES]
        )
        ids = [task["id"] for task in tasks]
        many = ids[len(moves) : len(moves) + len(ACTIVE)]
        changes = [write("LIFE-01", "update", task_id=ids[n], status=after) for n, (_, after) in enumerate(moves)]
        changes.append(write("LIFE-11", "interrupt_all", task_ids=many, error="given up"))

        writer = Actor("the writer", store.manager)
        then_noticed(store, writer, writer, questions_of_states(), "the import")
        for change in changes:
            make(store, change, writer)
            then_noticed(store, writer, writer, [*questions_of_states(), *questions_about(store.clock())], f"{change}")

    @tier("core")
    @clause("SEE-09", "SEE-07")
    def test_each_read_sees_what_another_thread_changed(self, store: Store) -> None:
        then_all_notice(store, Actor("one thread", store.manager), ThreadActor(store), first=3)

    @tier("core")
    @clause("SEE-02")
    def test_each_read_sees_what_another_manager_changed(self, store: Store) -> None:
        then_all_notice(store, Actor("one manager", store.manager), Actor("another manager", store.open()), first=2)

    @tier("core")
    @clause("SEE-03")
    def test_each_read_sees_what_another_process_changed(self, store: Store) -> None:
        then_all_notice(store, Actor("one process", store.manager), ProcessActor.start(store), first=1)

    @clause("DEDUP-08")
    def test_no_create_returns_a_holder_that_another_thread_or_manager_has_ended(self, store: Store) -> None:
        actors = [Actor("one thread", store.manager), ThreadActor(store)]
        actors += [Actor("another manager", other) for other in store.some_managers(2)[1:]]
        for number, (creator, other) in enumerate(itertools.permutations(actors, 2)):
            fields = {"task_key": f"job:{number}", "organization_id": HOME}
            first, second, third = (store.fields(**fields) for _ in range(3))
            for actor in actors:
                free = question("DEDUP-08", "get_tasks_by_key", **fields)
                demand("DEDUP-08", f"a key before its first task, by {actor.name}", [[]], actor.ask([free]))
            then_create_returns(store, creator, first, first)
            for actor in actors:
                then_create_returns(store, actor, second, first)
            end = dict(ENDS[number % 3])
            changes = [end, {"status": "completed"}] if end["status"] == "running" else [end]

            for change in changes:
                other.write(write("DEDUP-08", "update", task_id=first["id"], **change), store.clock())

            then_create_returns(store, creator, second, second)
            for actor in actors:
                then_create_returns(store, actor, third, second)


def then_create_returns(store: Store, actor: Actor, fields: Fields, expected: Fields) -> None:
    """Demand that a create returns `expected`: the new task itself, or the existing task that holds its key."""
    found = actor.write(write("DEDUP-08", "create", fields=fields), store.clock())
    asked = f"create of the key {fields['task_key']} by {actor.name}: the id returned, and whether it is new"
    demand("DEDUP-08", asked, [expected["id"], expected is fields], found)


def then_all_notice(store: Store, reader: Actor, other: Actor | None = None, *, first: int = 0) -> None:
    """Ask every question before and after each kind of change.

    Without `other` the reader makes all changes. Otherwise the reader makes one in four, because a store may also
    cache what was written through it; `first` is the index of the first of these. The other makes the rest.
    """
    ids = [store.fields()["id"] for _ in range(TASKS_PER_ROUND)]
    questions_for = repeated_questions if other is None else some_questions
    questions = questions_for(ids, store.clock() + round(MIDDLE_SECONDS * SECOND))
    for index, plan in enumerate(changes_of(ids)):
        writer = reader if other is None or index % 4 == first else other
        asked = other if other is not None and writer is reader else reader
        if index == 0:
            for actor in filter(None, (reader, other)):
                then_noticed(store, writer, actor, questions, "nothing")
        made = make(store, plan(store.clock() + SECOND), writer)
        then_noticed(store, writer, asked, [*questions, *questions_about(store.clock())], made)


def make(store: Store, change: Write, writer: Actor) -> str:
    """Make a change in store and reference, a second later, and return a description of it."""
    store.clock.advance(1)
    expected = carry_out_in(store.reference, change["operation"], change["arguments"], store.clock())
    made = f"{change['operation']}({shortened(change['arguments'])}) by {writer.name}"
    demand(change["clause"], made, expected, writer.write(change, store.clock()))
    return made


def changes_of(ids: list[str]) -> list[Callable[[int], Write]]:
    """Return one kind of change after another, each as a function of the time at which it is made.

    Two tasks change in turn, so that each change moves one task past the other in every order by time. In the end no
    task is left, so that each list is seen empty before and after it has rows.
    """
    one, two, waiting, given_up, next_one, old = ids

    def new(task_id: str, now: int, **fields: Any) -> Fields:
        return {"id": task_id, "created_at": now, "updated_at": now, **fields}

    def create(clause_id: str, task_id: str) -> Callable[[int], Write]:
        at_home = {"task_key": KEY, "organization_id": HOME}
        return lambda now: write(clause_id, "create", fields=new(task_id, now, **at_home))

    def update(task_id: str, **changes: Any) -> Callable[[int], Write]:
        return lambda _: write("LIFE-08", "update", task_id=task_id, **changes)

    def import_active(now: int) -> Write:
        earlier = now - 100 * SECOND
        fields = {"task_key": OTHER_KEY, "user_id": OTHER_USER, "organization_id": HOME, "status": "running"}
        tasks = [
            new(two, earlier, **fields, started_at=earlier),
            new(waiting, now, organization_id=HOME),
            new(given_up, earlier + 1, task_key="job:none"),
        ]
        return write("DEDUP-09", "import_tasks", tasks=tasks)

    def import_ended(now: int) -> Write:
        earlier = now - 1_000 * SECOND
        fields = {"label": RENAMED, "status": "completed", "organization_id": HOME, "task_key": OTHER_KEY}
        return write("DEDUP-09", "import_tasks", tasks=[new(old, earlier, **fields)])

    return [
        create("DEDUP-08", one),
        create("DEDUP-01", next_one),
        import_active,
        update(one, status="running"),
        *(
            update(task_id, **changes)
            for changes in (
                {"progress": 1e-05},
                {"label": RENAMED},
                {"checkpoint": {"a": 1}},
                {"checkpoint": None},
                {"status": "waiting_confirmation", "confirmation": {"ask": 1}},
                {"status": "running"},
                {"progress": 0.5, "label": "as before"},
            )
            for task_id in (two, one)
        ),
        update(two, status="failed", error="E: no"),
        update(one, status="completed", result=[1]),
        update(waiting, status="interrupted", error="cancelled"),
        lambda _: write("LIFE-11", "interrupt_all", task_ids=[given_up], error="given up"),
        create("DEDUP-08", next_one),
        # Removes the task that ended first, and none of those that ended one, two and three seconds later.
        lambda _: write("KEEP-01", "prune", older_than_seconds=4.5),
        import_ended,
        update(next_one, status="failed", error="E: no"),
        lambda _: write("KEEP-01", "prune", older_than_seconds=0.5),
    ]


def then_noticed(store: Store, writer: Actor, reader: Actor, questions: list[Question], made: str) -> None:
    """Demand that the reader gets the reference's answers."""
    expected = expected_answers(store.reference, questions)
    for asked, right, found in zip(questions, expected, reader.ask(questions), strict=True):
        words = f"{asked['operation']}({shortened(asked['arguments'])}) by {reader.name}, after {made}"
        if compare(asked["clause"], words, right, found) is not None:
            then_none([compare(clause_for(store, asked, right, writer, reader), words, right, found)])


def clause_for(store: Store, asked: Question, right: Any, writer: Actor, reader: Actor) -> str:
    """Return the clause that a wrong answer to the reader breaks."""
    if reader is not writer and writer.ask([asked]) == [right]:
        if reader.is_process or writer.is_process:
            return "SEE-03"
        return "SEE-09" if reader.manager is writer.manager else "SEE-02"
    # If the same question in other words gets the right answer, the store has cached an earlier one.
    afresh = asked_afresh(asked, store.clock() % SECOND + 1)
    if reader is writer and afresh is not None and reader.ask([afresh]) == [right]:
        return "SEE-01"
    return str(asked["clause"])
