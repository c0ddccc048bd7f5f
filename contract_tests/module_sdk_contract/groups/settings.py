"""DISC-09, DISC-10, FAIL-16, BAD-01: the options of a manager, and the location of a store in a file."""

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
from module_sdk_contract.groups.failure import GRACE_SECONDS
from module_sdk_contract.harness import Store, unknown
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.processes.races import race
from module_sdk_contract.report.verdicts import NotApplicable, Unknown
from module_sdk_contract.violations import demand, demand_answer, demand_error

SETUP_COMMAND: Final = "module-sdk setup"
SOMETHING_ELSE: Final = b"something else\n" * 1_000
SMALL_PAYLOAD_BYTES: Final = 2_000
PATIENT_SECONDS: Final = 30
SHORT_SECONDS: Final = 0.3


class SettingsClauses:
    @clause("DISC-09")
    def test_without_auto_setup_nothing_is_created(self, store: Store) -> None:
        # given a namespace that is not set up
        hook_missing = enter_namespace_without_setup(store)
        before = "" if hook_missing else content_of_namespace(store)

        # then each call raises, on a second manager as well, and leaves nothing behind
        for asked, call in every_call(store, store.manager, UNKNOWN_ID).items():
            then_names_the_command(f"{asked} with auto_setup=False", call)
        managers = [store.manager]
        if "shared" in store.capabilities:
            managers.append(store.open(auto_setup=False))
        then_names_the_command(
            "a lookup of the last manager with auto_setup=False", functools.partial(managers[-1].list_user_tasks, 1)
        )
        answer = tasks.list_user_tasks(1)
        is_refusal = isinstance(answer.error, ConfigurationError)
        demand("DISC-09", f"whether a lookup's error says why, with {answer.error!r}", True, is_refusal)
        if not hook_missing:
            demand("DISC-09", "the content of the namespace afterwards", before, content_of_namespace(store))

        # and after setup every manager works
        managers[0].setup()
        for manager in managers:
            demand_answer("DISC-09", "count after setup", 0, manager.count)
        store.given(task_key="job")
        store.then_key("job")
        if hook_missing:
            unknown("dump")

    @clause("DISC-09")
    def test_without_auto_setup_there_is_no_file_and_no_folder(self, store: Store) -> None:
        need_location(store)
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

        demand_answer("DISC-09", f"{operation} as the first use", expected, ask)

    @clause("DISC-10")
    def test_where_no_store_can_be_the_error_names_the_location(self, store: Store) -> None:
        name = need_location(store).name
        is_folder = (store.tmp_path / name).is_dir()
        for number, (case, put) in enumerate(OBSTACLES):
            folder = store.tmp_path / f"{number}"
            folder.mkdir()
            location = folder / name
            if not put(location, is_folder):
                continue
            before = state_of(location)
            manager = store.open(url=store.contract.manager_url(folder))

            for asked, call in (
                ("ping", manager.ping),
                ("list_user_tasks", functools.partial(manager.list_user_tasks, 1)),
                ("create", functools.partial(manager.create, task_of(store.fields()))),
                ("count", manager.count),
                ("setup", manager.setup),
            ):
                what = f"{asked}, where {case}"
                error = demand_error("DISC-10", what, ConfigurationError, call)
                demand("DISC-10", f"{what}: the error names {name}: {error}", True, name in str(error))
            manager.close()
            demand("DISC-10", f"the location afterwards, where {case}", before, state_of(location))

    @clause("DISC-10")
    def test_a_missing_folder_is_created_or_named_as_a_setup_fault(self, store: Store) -> None:
        """A store may create the missing folder. If it does not, the operator must, so the error is a setup fault."""
        location = need_location(store)
        manager = store.open(url=store.contract.manager_url(store.tmp_path / "missing"))

        outcome = outcome_within(PATIENT_SECONDS, manager.count)

        is_named = any(name in str(outcome) for name in ("missing", location.name))
        right = outcome == 0 or (isinstance(outcome, ConfigurationError) and is_named)
        asked = f"count where the folder of {location.name} is missing is 0, or an error that names it, not {outcome!r}"
        demand("DISC-10", asked, True, right)

    @tier("core")
    @clause("FAIL-16")
    def test_a_call_keeps_its_deadline_behind_a_lock(self, store: Store) -> None:
        # given a lock that another party holds, and a writer whose deadline is long
        running = store.given(task_key="job", status="running")
        hasty = store.open(timeout_seconds=SHORT_SECONDS) if "shared" in store.capabilities else store.manager
        calls: dict[str, Callable[..., object]] = {**every_call(store, hasty, running["id"]), "setup": hasty.setup}
        behind = functools.partial(store.manager.create, task_of(store.fields(checkpoint=[1])))
        calls["create, behind the patient writer"] = behind
        calls = {asked: functools.partial(call, timeout_seconds=SHORT_SECONDS) for asked, call in calls.items()}
        if hasty is not store.manager:
            calls["create by the deadline of the options"] = functools.partial(hasty.create, task_of(store.fields()))
        patient = task_of(store.fields(task_key="patient"))
        found: list[Any] = []

        def create_patiently() -> None:
            found.append(outcome_within(PATIENT_SECONDS, functools.partial(store.manager.create, patient)))

        # when calls with a short deadline are made while the lock is held
        waiting = threading.Thread(target=create_patiently)
        with store.contract.hold_lock(store):
            waiting.start()
            outcomes = race(
                [functools.partial(outcome_within, SHORT_SECONDS + GRACE_SECONDS, call) for call in calls.values()]
            )
            was_waiting = not found
        waiting.join()

        # then the lock stopped writers, no call was late, and the patient writer succeeded once the lock was free
        went_through = not isinstance(outcomes[list(calls).index("create")], Exception)
        demand("FAIL-16", "whether a create goes through while the hook `hold_lock` holds a lock", False, went_through)
        for asked, outcome in zip(calls, outcomes, strict=True):
            right = not isinstance(outcome, Exception) or isinstance(outcome, TaskBackendUnavailableError)
            demand("FAIL-16", f"{asked} is answered or unavailable by its deadline, not {outcome!r}", True, right)
        demand("FAIL-16", "whether a create with time left waits", True, was_waiting)
        demand("FAIL-16", "the create with time left, once the lock is free", [(patient, True)], found)
        again = store.manager.create(task_of(store.fields(task_key="later")), timeout_seconds=PATIENT_SECONDS)
        demand("FAIL-16", "a create afterwards", True, again[1])

    @clause("BAD-01")
    def test_an_option_sets_the_maximum_of_a_payload(self, store: Store) -> None:
        manager = store.open(maximum_payload_bytes=SMALL_PAYLOAD_BYTES)
        fitting = "x" * (SMALL_PAYLOAD_BYTES - 2)
        task = task_of(store.fields(checkpoint=fitting))
        demand("BAD-01", f"create with a payload of {SMALL_PAYLOAD_BYTES} bytes", (task, True), manager.create(task))

        for asked, call in (
            ("create", functools.partial(manager.create, task_of(store.fields(checkpoint=f"{fitting}x")))),
            ("update", functools.partial(manager.update, task.id, checkpoint=f"{fitting}x")),
        ):
            error = demand_error("BAD-01", f"{asked} with one byte more", PayloadError, call)
            demand("BAD-01", f"the maximum that {error!r} names", SMALL_PAYLOAD_BYTES, error.maximum)


def enter_namespace_without_setup(store: Store) -> bool:
    """Switch to a fresh namespace with `auto_setup=False`, and return whether the suite lacks the hook `dump`.

    End the test as not applicable if the store needs no setup: `setup` has left nothing in the first namespace, and a
    ping of the fresh one is not a setup fault. Without the hook, a store that outlives its process is taken to need it.
    """
    try:
        set_up = store.dump()
        store.use_fresh_namespace(auto_setup=False)
        leaves_something, hook_missing = set_up != content_of_namespace(store), False
    except Unknown:
        store.use_fresh_namespace(auto_setup=False)
        leaves_something, hook_missing = store.outlives_its_process(), True
    if not leaves_something:
        outcome = outcome_within(PATIENT_SECONDS, store.manager.ping)
        if not isinstance(outcome, ConfigurationError):
            raise NotApplicable("the store needs no setup")
    return hook_missing


def content_of_namespace(store: Store) -> str:
    """Return the content of a namespace that may not be set up: no text if the hook raises for missing tables."""
    try:
        return store.dump()
    except Unknown:
        raise
    except Exception:
        return ""


def then_names_the_command(asked: str, call: Callable[..., object]) -> None:
    error = demand_error("DISC-09", asked, ConfigurationError, call)
    demand("DISC-09", f"the error of {asked} names {SETUP_COMMAND!r}: {error}", True, SETUP_COMMAND in str(error))


# --- A store in a file ------------------------------------------------------------------------------------------------


def need_location(store: Store) -> Path:
    """Return the file or folder that the URL names in the test's own folder; not applicable if it names none."""
    _, found, rest = unquote(store.url).partition(str(store.tmp_path))
    name = rest.partition("?")[0].strip("/")
    if not found or not name or "/" in name:
        raise NotApplicable("the store is not in a file or folder of the test's own folder")
    return store.tmp_path / name


def put_something_else(location: Path, is_folder: bool) -> bool:
    """Write a file that is not a store. Return false for a folder, where another file does not matter."""
    inside = location / "data" if is_folder else location
    inside.parent.mkdir(exist_ok=True)
    inside.write_bytes(SOMETHING_ELSE)
    return not is_folder


def put_the_other_kind(location: Path, is_folder: bool) -> bool:
    """Make a folder instead of the file, or a file instead of the folder; return true."""
    if is_folder:
        location.write_bytes(SOMETHING_ELSE)
    else:
        location.mkdir()
    return True


def put_a_symlink_to_itself(location: Path, is_folder: bool) -> bool:
    """Make a symbolic link that points to itself; return true."""
    location.symlink_to(location)
    return True


def put_unreadable(location: Path, is_folder: bool) -> bool:
    """Write a file that the user may not read; return false if it can still be read, as by root."""
    location.write_bytes(SOMETHING_ELSE)
    location.chmod(0)
    return not os.access(location, os.R_OK)


# What is at the location, in words, and the function that puts it there and returns whether no store can be there.
OBSTACLES: Final[tuple[tuple[str, Callable[[Path, bool], bool]], ...]] = (
    ("the file contains something else", put_something_else),
    ("a folder was made instead of the file, or a file instead of the folder", put_the_other_kind),
    ("the file is a symbolic link to itself", put_a_symlink_to_itself),
    ("the user may not read the file", put_unreadable),
)


def state_of(location: Path) -> tuple[object, ...]:
    """Return the mode and the content at the location, and the names in its folder."""
    status = location.lstat()
    content = location.read_bytes() if location.is_file() and os.access(location, os.R_OK) else None
    names = sorted(path.name for path in location.parent.iterdir())
    return (status.st_mode, content, names)


def added(before: list[Path], after: list[Path]) -> list[str]:
    return [str(path) for path in after if path not in before]
