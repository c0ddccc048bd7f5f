"""The search of the deep tier: a Hypothesis state machine whose steps are those of a walk.

Related values find bugs, so each run uses only a few texts of one collision family. It ends by reading everything. A
failing run is shrunk, and shown as a script of plain calls.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any, Final

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from module_sdk_contract.data.families import FAMILIES, Family
from module_sdk_contract.harness import Store
from module_sdk_contract.search.random_walk import Walk
from module_sdk_contract.search.random_walk_reads import SORTS, START
from module_sdk_contract.violations import ContractViolation, Violation, raised

PHASES: Final = (Phase.generate, Phase.shrink)
SMALL: Final = st.integers(0, 7)
STATUS: Final = st.sampled_from((0, 0, 0, 1, 2, 3, 4, 5))
LIMIT: Final = st.sampled_from((None, 1, 2, 0, 3, 7))
SIZE: Final = st.sampled_from((9, 1, 2))
SINCE: Final = st.sampled_from((0, 0, 0, 1, 1_000, 1_000_000, -1))
TASK: Final = st.fixed_dictionaries(
    {"key": SMALL, "user": SMALL, "organization": SMALL, "status": STATUS, "value": st.integers(0, 9), "since": SINCE}
)
PAGE: Final = st.fixed_dictionaries(
    {
        "task": SMALL,
        "kind": st.integers(0, 6),
        "sort": st.integers(0, len(SORTS) - 1),
        "offset": st.sampled_from((0, 0, 1, 2, 5)),
        "limit": st.sampled_from((25, 1, 2, 5)),
        "organization": st.integers(0, 5),
    }
)
SCRIPT: Final = """\
import module_sdk
{opening}
from module_sdk.backends import Task
from module_sdk.testing import SettableClock

clock = SettableClock({start!r})
url, namespace = {url!r}, "an_empty_one"
manager = open_manager(url, namespace=namespace, clock=clock)
module_sdk.configure(manager=manager)
{steps}"""


CLAUSE_OF_STEPS: Final = "SEE-01"
"""The clause that is broken if the manager raises in a step: a writer cannot read its own writes."""

Steps = list[tuple[str, tuple[Any, ...]]]


@dataclasses.dataclass(frozen=True)
class FailedRun:
    """A run that broke a clause."""

    family: Family
    first: int
    steps: Steps
    violation: ContractViolation
    script: list[str]

    @property
    def clause(self) -> str:
        return self.violation.violations[0].clause


class StoreFailed(BaseException):  # no `Exception`: Hypothesis would try to shrink it and report a flaky test instead
    """The search cannot continue on the store."""


def take_step(walk: Walk, step: str, arguments: tuple[Any, ...]) -> None:
    """Take one step of the walk. Raise `ContractViolation` for a wrong answer or an error that the manager raises."""
    try:
        getattr(walk, step)(*arguments)
    except ContractViolation:
        raise
    except Exception as error:
        asked = walk.script[-1] if walk.script else step
        raise ContractViolation([raised(CLAUSE_OF_STEPS, asked, "an answer", error)]) from error


def described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


class Search:
    """The state of one search: its time limit, number of runs and shortest failed run."""

    def __init__(self, store: Store, budget_seconds: float) -> None:
        self.store = store
        self.until = time.monotonic() + budget_seconds
        self.runs = 0
        self.shortest: FailedRun | None = None

    def is_over(self) -> bool:
        return time.monotonic() > self.until

    def keep(self, found: FailedRun) -> None:
        """Keep the run if it is the shortest so far."""
        if self.shortest is None or len(found.script) <= len(self.shortest.script):
            self.shortest = found

    def replay(self, family: Family, first: int, steps: Steps) -> FailedRun | None:
        """Run the steps in a new namespace. Return the run if it fails, else `None`."""
        walk = self.new_walk(family, first)
        try:
            for step, arguments in steps:
                take_step(walk, step, arguments)
        except ContractViolation as violation:
            return FailedRun(family, first, steps, violation, walk.script)
        finally:
            walk.close()
        return None

    def new_walk(self, family: Family, first: int) -> Walk:
        """Return a walk in a new namespace.

        Raises `StoreFailed` if the manager raises here: that is not a step, so it cannot be shrunk and ends the search.
        """
        try:
            return Walk(self.store, family, first)
        except Exception as error:
            raise StoreFailed(f"opening namespace {self.runs} of the search raised {described(error)}") from error

    def shorten(self, found: FailedRun) -> FailedRun:
        """Remove, one by one, the steps without which the same clause still breaks, and return the shorter run."""
        for index in reversed(range(len(found.steps) - 1)):
            if self.is_over():
                break
            fewer = self.replay(found.family, found.first, found.steps[:index] + found.steps[index + 1 :])
            if fewer is not None and fewer.clause == found.clause:
                found = fewer
        return found


class StoreMachine(RuleBasedStateMachine):
    """One run. Each search creates a subclass that sets `search`."""

    search: Search

    def __init__(self) -> None:
        super().__init__()
        self.walk: Walk | None = None
        self.steps: Steps = []
        self.failed = False

    @initialize(
        family=st.sampled_from(FAMILIES),
        first=st.integers(0, 30),
        tasks=st.lists(TASK, min_size=1, max_size=12),
        moves=st.lists(st.integers(0, 5), max_size=12),
    )
    def begin(self, family: Family, first: int, tasks: list[dict[str, int]], moves: list[int]) -> None:
        # After the time limit the remaining runs do nothing.
        if self.search.is_over():
            return
        self.search.runs += 1
        self.first = first
        self.walk = self.search.new_walk(family, first)
        for task in tasks:
            self.take("create", task)
        for number, move in enumerate(moves):
            self.take("update", number, move, 0, 0)

    def take(self, step: str, *arguments: Any) -> None:
        walk = self.walk
        if walk is None or self.failed:
            return
        self.steps.append((step, arguments))
        try:
            take_step(walk, step, arguments)
        except ContractViolation as violation:
            self.failed = True
            self.search.keep(FailedRun(walk.family, self.first, self.steps, violation, walk.script))
            raise

    @rule(task=TASK)
    def create(self, task: dict[str, int]) -> None:
        self.take("create", task)

    @rule(task=SMALL)
    def create_again(self, task: int) -> None:
        self.take("create_again", task)

    @rule(tasks=st.lists(TASK, min_size=1, max_size=4), again=st.booleans())
    def import_tasks(self, tasks: list[dict[str, int]], again: bool) -> None:
        self.take("import_tasks", tasks, again)

    @rule(task=SMALL, change=st.integers(0, 12), value=st.integers(0, 9), choice=SMALL)
    def update(self, task: int, change: int, value: int, choice: int) -> None:
        self.take("update", task, change, value, choice)

    @rule(task=SMALL, change=st.integers(0, 4))
    def move(self, task: int, change: int) -> None:
        self.take("update", task, change, 0, 0)

    @rule(task=SMALL, choice=st.integers(0, 6))
    def cancel(self, task: int, choice: int) -> None:
        self.take("cancel", task, choice)

    @rule(task=SMALL, count=st.integers(1, 4))
    def interrupt_all(self, task: int, count: int) -> None:
        self.take("interrupt_all", task, count)

    @rule(age=st.integers(0, 3), organization=st.integers(0, 5), user=st.integers(0, 5), batch_size=SIZE)
    def prune(self, age: int, organization: int, user: int, batch_size: int) -> None:
        self.take("prune", age, organization, user, batch_size)

    @rule(operation=st.integers(0, 2), argument=SMALL, cut=st.integers(0, 3), organization=SMALL, limit=LIMIT)
    def look_up(self, operation: int, argument: int, cut: int, organization: int, limit: int | None) -> None:
        self.take("look_up", operation, argument, cut, organization, limit)

    @rule(numbers=PAGE)
    def page(self, numbers: dict[str, int]) -> None:
        self.take("page", numbers)

    @rule(task=SMALL, choice=SMALL)
    def view(self, task: int, choice: int) -> None:
        self.take("view", task, choice)

    @rule(step=st.integers(0, 8))
    def go_on(self, step: int) -> None:
        if step == 7:
            self.take("switch")
        elif step == 8:
            self.take("reopen")
        else:
            self.take("advance", step)

    def teardown(self) -> None:
        try:
            self.take("read_everything")
            self.take("create_for_every_key")
        finally:
            if self.walk is not None:
                self.walk.close()


def search_for_violations(store: Store, *, seed_number: int, runs: int, steps: int, budget_seconds: float) -> int:
    """Search, and return the number of runs. Raise `ContractViolation` with the shortest script if a run failed."""
    search = Search(store, budget_seconds)
    machine = seed(seed_number)(type("StoreMachine", (StoreMachine,), {"search": search}))
    chosen = settings(
        max_examples=runs,
        stateful_step_count=steps,
        # No example database: a search must make the same runs every time.
        database=None,
        deadline=None,
        phases=PHASES,
        report_multiple_bugs=False,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    try:
        run_state_machine_as_test(machine, settings=chosen)
    except (ContractViolation, Flaky):
        # `Flaky` means that a run failed once and not again: it was a race, or the time limit ended the shrinking.
        if search.shortest is None:
            raise
    except StoreFailed as failed:
        raise ContractViolation([Violation(CLAUSE_OF_STEPS, "a fresh namespace", "a store", str(failed))]) from failed
    if search.shortest is not None:
        found = search.shorten(search.shortest)
        note = as_script(store, found.script, f"seed {seed_number}, run {search.runs}")
        raise ContractViolation(found.violation.violations, note)
    return search.runs


def as_script(store: Store, steps: list[str], origin: str) -> str:
    """Return a program that repeats the steps in an empty namespace."""
    opener = store.contract.opener
    opening = "from module_sdk import open_manager"
    if opener != "module_sdk:open_manager":
        opening = f"import pkgutil\n\nopen_manager = pkgutil.resolve_name({opener!r})"
    last = f"print({steps[-1]})" if steps[-1].startswith("manager.") else steps[-1]
    text = SCRIPT.format(opening=opening, start=START, url=str(store.manager.url), steps="\n".join([*steps[:-1], last]))
    return f"# {origin}; the last line shows what is wrong\n{text}"
