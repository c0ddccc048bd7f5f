"""DISC-09 and 10, FAIL-16, BAD-01: what the options of a manager promise, and the place of a store in a file."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import pytest

from module_sdk import tasks
from module_sdk.backends import ConfigurationError, TaskBackendUnavailableError
from module_sdk.errors import PayloadError
from module_sdk_contract.calls import UNKNOWN_ID, every_call
from module_sdk_contract.factories import task_of
from module_sdk_contract.faults.failing_managers import outcome_within
from module_sdk_contract.groups.failure import GRACE
from module_sdk_contract.harness import Store, unknown
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.processes.races import race
from module_sdk_contract.report.verdicts import NotApplicable, Unknown
from module_sdk_contract.violations import demand, demand_answer, demand_error

COMMAND: Final = "module-sdk setup"
SOMETHING_ELSE: Final = b"something else\n" * 1_000
SMALL_BYTES: Final = 2_000
PATIENT_SECONDS: Final = 30
SHORT_SECONDS: Final = 0.3


class SettingsClauses:
    @clause("DISC-09")
    def test_without_auto_setup_nothing_is_created(self, store: Store) -> None:
        # given a namespace that nobody has set up
        hook_missing = need_setup(store)
        before = "" if hook_missing else whatever_lies_there(store)

        # then each call is refused, by another manager afterwards too, and leaves nothing behind
        for asked, call in every_call(store, store.manager, UNKNOWN_ID).items():
            then_names_the_command(f"{asked} with auto_setup=False", call)
        managers = [store.manager]
        if "shared" in store.capabilities:
            managers.append(store.open(auto_setup=False))
        then_names_the_command("a lookup of the last manager", functools.partial(managers[-1].list_user_tasks, 1))
        soft = tasks.list_user_tasks(1)
        is_refusal = isinstance(soft.error, ConfigurationError)
        demand("DISC-09", f"whether a soft lookup's error says why, with {soft.error!r}", True, is_refusal)
        if not hook_missing:
            demand("DISC-09", "what lies in the namespace then", before, whatever_lies_there(store))

        # and once somebody has set it up, all work
        managers[0].setup()
        for manager in managers:
            demand_answer("DISC-09", "count after setup", 0, manager.count)
        store.given(task_key="job")
        store.then_key("job")
        if hook_missing:
            unknown("dump")

    @clause("DISC-09")
    def test_without_auto_setup_there_is_no_file_and_no_folder(self, store: Store) -> None:
        need_place(store)
        for folder in (store.tmp_path / "empty", store.tmp_path / "missing" / "folder"):
            state = "empty" if folder.name == "empty" else "missing"
            if state == "empty":
                folder.mkdir()
            before = sorted(store.tmp_path.rglob("*"))
            manager = store.open(url=store.contract.manager_url(folder), auto_setup=False)

            for asked, call in every_call(store, manager, UNKNOWN_ID).items():
                then_names_the_command(f"{asked} with auto_setup=False in a folder that is {state}", call)
            manager.close()

            after = sorted(store.tmp_path.rglob("*"))
            demand("DISC-09", f"new files and folders, in a folder that is {state}", [], added(before, after))

    @clause("DISC-09")
    @pytest.mark.parametrize("operation", ["list_user_tasks", "count", "create"])
    def test_first_use_sets_up(self, store: Store, operation: str) -> None:
        store.use_fresh_namespace()
        task = task_of(store.fields(task_key="job"))
        manager = store.manager
        uses: dict[str, tuple[object, Callable[[], object]]] = {
            "list_user_tasks": ([], lambda: list(manager.list_user_tasks(1))),
            "count": (0, manager.count),
            "create": ((task, True), lambda: manager.create(task)),
        }
        expected, ask = uses[operation]

        demand_answer("DISC-09", f"{operation}, first of all", expected, ask)

    @clause("DISC-10")
    def test_where_no_store_can_be_the_error_names_the_place(self, store: Store) -> None:
        name = need_place(store).name
        is_folder = (store.tmp_path / name).is_dir()
        for number, put in enumerate((put_something_else, put_the_other_kind, put_a_link_to_itself, put_unreadable)):
            folder = store.tmp_path / f"{number}"
            folder.mkdir()
            place = folder / name
            if not put(place, is_folder):
                continue
            before = state_of(place)
            manager = store.open(url=store.contract.manager_url(folder))

            for asked, call in (
                ("ping", manager.ping),
                ("list_user_tasks", functools.partial(manager.list_user_tasks, 1)),
                ("create", functools.partial(manager.create, task_of(store.fields()))),
                ("count", manager.count),
                ("setup", manager.setup),
            ):
                what = f"{asked}, {str(put.__doc__).rstrip('.').lower()}"
                error = demand_error("DISC-10", what, ConfigurationError, call)
                demand("DISC-10", f"{what}: the error names {name}: {error}", True, name in str(error))
            manager.close()
            demand("DISC-10", f"what is there afterwards, {str(put.__doc__).lower()}", before, state_of(place))

    @clause("DISC-10")
    def test_a_missing_folder_is_no_dead_store(self, store: Store) -> None:
        """A store may create the folder. If it does not, the operator has to."""
        place = need_place(store)
        manager = store.open(url=store.contract.manager_url(store.tmp_path / "missing"))

        outcome = outcome_within(PATIENT_SECONDS, manager.count)

        is_named = any(name in str(outcome) for name in ("missing", place.name))
        right = outcome == 0 or (isinstance(outcome, ConfigurationError) and is_named)
        asked = f"count where the folder of {place.name} is missing is 0, or an error that names it, not {outcome!r}"
        demand("DISC-10", asked, True, right)

    @tier("core")
    @clause("FAIL-16")
    def test_a_call_keeps_its_deadline_behind_a_lock(self, store: Store) -> None:
        # given a lock that somebody else holds, and a writer who has time
        running = store.given(task_key="job", status="running")
        hasty = store.open(timeout_seconds=SHORT_SECONDS) if "shared" in store.capabilities else store.manager
        calls: dict[str, Callable[..., object]] = {**every_call(store, hasty, running["id"]), "setup": hasty.setup}
        behind = functools.partial(store.manager.create, task_of(store.fields(checkpoint=[1])))
        calls["create, behind the writer who has time"] = behind
        calls = {asked: functools.partial(call, timeout_seconds=SHORT_SECONDS) for asked, call in calls.items()}
        if hasty is not store.manager:
            calls["create by the deadline of the options"] = functools.partial(hasty.create, task_of(store.fields()))
        patient = task_of(store.fields(task_key="patient"))
        found: list[Any] = []

        def wait_for_it() -> None:
            found.append(outcome_within(PATIENT_SECONDS, functools.partial(store.manager.create, patient)))

        # when calls are made meanwhile
        waiting = threading.Thread(target=wait_for_it)
        with store.contract.hold_lock(store):
            waiting.start()
            outcomes = race([functools.partial(outcome_within, SHORT_SECONDS + GRACE, call) for call in calls.values()])
            was_waiting = not found
        waiting.join()

        # then the hook has held what writers wait for, none is late, and who has time gets what it wants
        went_through = not isinstance(outcomes[list(calls).index("create")], Exception)
        demand("FAIL-16", "whether a create goes through while the hook `hold_lock` holds a lock", False, went_through)
        for asked, outcome in zip(calls, outcomes, strict=True):
            right = not isinstance(outcome, Exception) or isinstance(outcome, TaskBackendUnavailableError)
            demand("FAIL-16", f"{asked} is answered or unavailable by its deadline, not {outcome!r}", True, right)
        demand("FAIL-16", "whether a create with time left waits", True, was_waiting)
        demand("FAIL-16", "the create that had time left, once the lock is free", [(patient, True)], found)
        again = store.manager.create(task_of(store.fields(task_key="later")), timeout_seconds=PATIENT_SECONDS)
        demand("FAIL-16", "a create afterwards", True, again[1])

    @clause("BAD-01")
    def test_the_maximum_of_a_payload_is_the_options(self, store: Store) -> None:
        manager = store.open(maximum_payload_bytes=SMALL_BYTES)
        fitting = "x" * (SMALL_BYTES - 2)
        task = task_of(store.fields(checkpoint=fitting))
        demand("BAD-01", f"create with a payload of {SMALL_BYTES} bytes", (task, True), manager.create(task))

        for asked, call in (
            ("create", functools.partial(manager.create, task_of(store.fields(checkpoint=f"{fitting}x")))),
            ("update", functools.partial(manager.update, task.id, checkpoint=f"{fitting}x")),
        ):
            error = demand_error("BAD-01", f"{asked} with one byte more", PayloadError, call)
            demand("BAD-01", f"the maximum that {error!r} names", SMALL_BYTES, error.maximum)


def need_setup(store: Store) -> bool:
    """Go on in a fresh namespace that nobody may set up; whether the hook is missing that sees what lies there.

    Not applicable where there is nothing to set up. What `setup` has left behind in the first namespace decides that.
    Without the hook, a store that outlives its process is taken for one that must be set up.
    """
    try:
        set_up = store.dump()
        store.use_fresh_namespace(auto_setup=False)
        leaves_something, hook_missing = set_up != whatever_lies_there(store), False
    except Unknown:
        store.use_fresh_namespace(auto_setup=False)
        leaves_something, hook_missing = store.outlives_its_process(), True
    if not leaves_something:
        outcome = outcome_within(PATIENT_SECONDS, store.manager.ping)
        if not isinstance(outcome, ConfigurationError):
            raise NotApplicable("the store needs no setup")
    return hook_missing


def whatever_lies_there(store: Store) -> str:
    """What lies in a namespace that may not be set up: a hook that finds no tables may raise."""
    try:
        return store.dump()
    except Unknown:
        raise
    except Exception:
        return ""


def then_names_the_command(asked: str, call: Callable[..., object]) -> None:
    error = demand_error("DISC-09", asked, ConfigurationError, call)
    demand("DISC-09", f"the error of {asked} names {COMMAND!r}: {error}", True, COMMAND in str(error))


# --- A store in a file ------------------------------------------------------------------------------------------------


def need_place(store: Store) -> Path:
    """The file or folder in the test's own folder that the URL names; not applicable where it names none."""
    _, found, rest = unquote(store.url).partition(str(store.tmp_path))
    name = rest.partition("?")[0].strip("/")
    if not found or not name or "/" in name:
        raise NotApplicable("the store does not lie in a file of the test's own folder")
    return store.tmp_path / name


def put_something_else(place: Path, is_folder: bool) -> bool:
    """Where a file of something else is."""
    inside = place / "data" if is_folder else place
    inside.parent.mkdir(exist_ok=True)
    inside.write_bytes(SOMETHING_ELSE)
    return not is_folder


def put_the_other_kind(place: Path, is_folder: bool) -> bool:
    """Where a folder is in place of the file, or a file in place of the folder."""
    if is_folder:
        place.write_bytes(SOMETHING_ELSE)
    else:
        place.mkdir()
    return True


def put_a_link_to_itself(place: Path, is_folder: bool) -> bool:
    """Where a link leads to itself."""
    place.symlink_to(place)
    return True


def put_unreadable(place: Path, is_folder: bool) -> bool:
    """Where the user may not read what is there; the system's administrator may always."""
    place.write_bytes(SOMETHING_ELSE)
    place.chmod(0)
    return not os.access(place, os.R_OK)


def state_of(place: Path) -> tuple[object, ...]:
    """What is at a place: its kind, its rights and what it contains."""
    status = place.lstat()
    content = place.read_bytes() if place.is_file() and os.access(place, os.R_OK) else None
    names = sorted(path.name for path in place.parent.iterdir())
    return (status.st_mode, content, names)


def added(before: list[Path], after: list[Path]) -> list[str]:
    return [str(path) for path in after if path not in before]
