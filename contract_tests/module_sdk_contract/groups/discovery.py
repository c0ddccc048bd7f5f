"""DISC: discovery and life of a manager."""

from __future__ import annotations

import functools
import json
import logging
import subprocess
import sys
import time
import traceback
from pathlib import Path

import pytest

import module_sdk
from module_sdk.backends import ConfigurationError, TaskBackendError
from module_sdk_contract.calls import LOOKUPS, argument_of
from module_sdk_contract.factories import task_of
from module_sdk_contract.harness import Store
from module_sdk_contract.markers import clause, tier
from module_sdk_contract.processes.workers import environment
from module_sdk_contract.violations import demand, demand_answer, demand_error

PRINT_IMPORTED_BACKENDS = """
import json, pkgutil, sys
from importlib.metadata import entry_points
opener, url = sys.argv[1:]
manager = pkgutil.resolve_name(opener)(url)
modules = {entry.name: entry.module for entry in entry_points(group="module_sdk.backends")}
registered = modules.get(url.partition(":")[0].partition("+")[0])
own = {type(manager).__module__.partition(".")[0], str(registered).partition(".")[0]}
others = {module.partition(".")[0] for module in modules.values()} - own
served = opener != "module_sdk:open_manager" or registered in sys.modules
print(json.dumps({"others": sorted(others & set(sys.modules)), "the registered one": served}))
"""
OPEN_URL = """
import sys, module_sdk
try:
    module_sdk.open_manager(sys.argv[1])
except module_sdk.ConfigurationError as error:
    print(error)
"""
MAXIMUM_NAMESPACE_CHARACTERS = 24
MISTYPED_URLS = (
    "{scheme}:/user:hunter2@127.0.0.1:1/0",
    "{scheme}:user:hunter2@127.0.0.1",
    "{scheme}:///user:hunter2@127.0.0.1/0",
    "{scheme}://user:xyz@hunter2@127.0.0.1:1/0",
    "{scheme}://user:xyz@hunter2:qqq/1@127.0.0.1:1/0",
    "{scheme}://user:xyz/hunter2@127.0.0.1:1/0",
    "{scheme}://user:xyz?hunter2@127.0.0.1:1/0",
    "{scheme}://user:xyz#hunter2@127.0.0.1:1/0",
    "{scheme}://user:xyz%hunter2@127.0.0.1:1/0",
    "{scheme}://user:xyz hunter2@127.0.0.1:1/0",
    "{scheme}://user:hunter2",
    "{scheme}://user:hunter2/0",
    "{scheme}://user:xyz@127.0.0.1:hunter2/0",
)
PASSWORD_PARTS = ("hunter2", "xyz", "qqq")
ENTRY_POINTS = "[module_sdk.backends]\n{scheme} = {module}\n"


def run(script: str, *arguments: str, folder: Path | None = None) -> str:
    """Run a script in a fresh interpreter, with `folder` first on its path, and return its output."""
    completed = subprocess.run(  # noqa: S603  # scripts of this module
        [sys.executable, "-c", script, *arguments],
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return completed.stdout.strip()


def install(folder: Path, distribution: str, scheme: str, module: str) -> None:
    """Write into `folder` the metadata of a distribution that claims the scheme for a module."""
    metadata = folder / f"{distribution}-1.0.dist-info"
    metadata.mkdir()
    metadata.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    metadata.joinpath("entry_points.txt").write_text(ENTRY_POINTS.format(scheme=scheme, module=module))


def texts_of_error_chain(error: BaseException) -> list[str]:
    """Return `str` and `repr` of an error and of every cause and context, even those that a traceback leaves out."""
    chain: list[BaseException] = []
    unvisited: list[BaseException | None] = [error]
    while unvisited:
        found = unvisited.pop()
        if found is not None and found not in chain:
            chain.append(found)
            unvisited += [found.__cause__, found.__context__]
    return [text for found in chain for text in (str(found), repr(found))]


class DiscClauses:
    @tier("core")
    @clause("DISC-01")
    def test_the_registered_backend_and_no_other_is_imported(self, store: Store) -> None:
        expected = json.dumps({"others": [], "the registered one": True})
        demand("DISC-01", "backends imported", expected, run(PRINT_IMPORTED_BACKENDS, store.contract.opener, store.url))

    @clause("DISC-02")
    def test_an_unknown_scheme_names_what_is_installed(self, store: Store) -> None:
        asked = "open_manager('no-such-scheme://x')"
        error = demand_error("DISC-02", asked, ConfigurationError, module_sdk.open_manager, "no-such-scheme://x")

        demand("DISC-02", f"the error lists the installed schemes: {error}", True, "memory" in str(error))

    @tier("core")
    @clause("DISC-02")
    def test_the_error_names_both_plugins_of_a_scheme_or_the_missing_driver(self, store: Store, tmp_path: Path) -> None:
        install(tmp_path, "first-claim", "claimed", "claimed_first")
        install(tmp_path, "second-claim", "claimed", "claimed_second")
        install(tmp_path, "no-driver", "driverless", "driverless_plugin")
        (tmp_path / "driverless_plugin.py").write_text("import a_driver_that_is_not_installed\n")

        ambiguous = run(OPEN_URL, "claimed://x", folder=tmp_path)
        missing = run(OPEN_URL, "driverless://x", folder=tmp_path)

        for name in ("first-claim", "second-claim"):
            demand("DISC-02", f"{name} is named in: {ambiguous}", True, name in ambiguous)
        demand("DISC-02", f"the driver is named in: {missing}", True, "a_driver_that_is_not_installed" in missing)

    @clause("DISC-03")
    @pytest.mark.parametrize("written", ["hunter2-secret", "hunter2%40secret%2F", "hunter2%20%C3%A9"])
    def test_credentials_are_never_shown(self, store: Store, caplog: pytest.LogCaptureFixture, written: str) -> None:
        scheme = store.url.partition(":")[0]
        for url in (
            f"{scheme}://user:{written}@127.0.0.1:1/database",
            f"{scheme}://user@127.0.0.1:1/database?password={written}",
        ):
            shown: list[str] = []
            with caplog.at_level(logging.DEBUG):
                try:
                    manager = store.open(url=url, timeout_seconds=0.3)
                    shown += [repr(manager), str(manager), repr(manager.url), str(manager.url)]
                    shown += [f"its attribute {name}: {value}" for name, value in vars(manager).items()]
                    manager.list_user_tasks(1)
                except Exception as error:
                    shown += [repr(error), str(error), *traceback.format_exception(error)]
            for text in (*shown, caplog.text):
                demand("DISC-03", f"whether the password is in {text[:200]!r}", False, "hunter2" in text)

    @clause("DISC-08")
    @pytest.mark.parametrize("mistyped", MISTYPED_URLS)
    def test_the_error_for_a_mistyped_url_repeats_no_part_of_its_password(self, store: Store, mistyped: str) -> None:
        url = mistyped.format(scheme=store.url.partition(":")[0])

        error = demand_error("DISC-08", f"open({url!r})", ConfigurationError, store.open, url=url)

        for text in texts_of_error_chain(error):
            shown = [part for part in PASSWORD_PARTS if part in text]
            demand("DISC-08", f"parts of the password in {text[:200]!r}", [], shown)

    @clause("DISC-08")
    def test_no_cause_or_context_of_an_error_contains_the_password(self, store: Store) -> None:
        scheme = store.url.partition(":")[0]
        shown: list[str] = []
        for tail in ("database", "0"):
            try:
                manager = store.open(url=f"{scheme}://user:hunter2-secret@127.0.0.1:1/{tail}", timeout_seconds=0.3)
                manager.list_user_tasks(1)
            except Exception as error:
                shown += texts_of_error_chain(error)

        for text in shown:
            demand("DISC-08", f"whether the password is in {text[:200]!r}", False, "hunter2" in text)

    @clause("DISC-04")
    def test_setup_again_changes_nothing(self, store: Store) -> None:
        store.given(task_key="job", checkpoint=[1])

        for _ in range(3):
            store.manager.setup()
        for manager in store.some_managers(2):
            manager.setup()

        store.then_all_views()
        store.then_key("job")

    @tier("core")
    @clause("DISC-04")
    def test_setup_from_several_processes_at_once(self, store: Store) -> None:
        store.need("shared")
        store.use_fresh_namespace()
        workers = [store.spawn() for _ in range(4)]
        for worker in workers:
            worker.ask("ready")
        start = time.time() + 0.1
        for worker in workers:
            worker.start("setup", at=start)

        for worker in workers:
            worker.answer()

        store.given(task_key="job")
        for worker in workers:
            found = worker.ask("look", operation="get_tasks_by_key", argument="job")
            demand("DISC-04", "the tasks that each process then finds", store.then_key("job"), found)

    @clause("DISC-05")
    def test_namespaces_share_nothing(self, store: Store) -> None:
        longest = f"{store.namespace}x".ljust(MAXIMUM_NAMESPACE_CHARACTERS - 1, "x")
        names = [f"{store.namespace}{tail}" for tail in ("a", "ab", "_a", "a_b")] + [f"{longest}a", f"{longest}b"]
        managers = {name: store.open(namespace=name) for name in names}
        fields = store.fields(task_key="job", checkpoint=["base"])
        store.create_again(fields)

        for name, manager in managers.items():
            for operation in LOOKUPS:
                found = getattr(manager, operation)(argument_of(operation))
                demand("DISC-05", f"{operation} in {name}", [], found)
            demand("DISC-05", f"count in {name}", 0, manager.count())
            demand("DISC-05", f"page in {name}", [], manager.page())
            demand("DISC-05", f"get in {name}", None, manager.get(fields["id"]))
            demand("DISC-05", f"update in {name}", None, manager.update(fields["id"], label="x"))
            other = task_of({**fields, "label": name})
            demand("DISC-05", f"create of the same id and key in {name}", (other, True), manager.create(other))
        for name, manager in managers.items():
            for found in (manager.get_tasks_by_key("job"), manager.get_tasks_by_key_prefix(""), manager.page()):
                demand("DISC-05", f"labels in {name}", [name], [row["label"] for row in found])
            demand("DISC-05", f"import of an existing task into {name}", 0, manager.import_tasks([task_of(fields)]))
            manager.update(fields["id"], status="failed")
        store.clock.advance(10)
        for name, manager in managers.items():
            demand("DISC-05", f"prune in {name}", 1, manager.prune(1))
            demand("DISC-05", f"count in {name} after the prune", 0, manager.count())
        store.then_all_views()
        store.then_key("job")

    @clause("DISC-06")
    def test_a_closed_manager_refuses_all_use(self, store: Store) -> None:
        task = store.given(task_key="job")
        manager = store.manager
        for times in ("once", "twice"):
            demand_answer("DISC-06", f"close, {times}", None, manager.close)

        for asked, call in (
            ("list_user_tasks", functools.partial(manager.list_user_tasks, 1)),
            ("get_tasks_by_key", functools.partial(manager.get_tasks_by_key, "job")),
            ("get_tasks_by_key_prefix", functools.partial(manager.get_tasks_by_key_prefix, "")),
            ("get", functools.partial(manager.get, task["id"])),
            ("page", manager.page),
            ("count", manager.count),
            ("create", functools.partial(manager.create, task_of(store.fields()))),
            ("import_tasks", functools.partial(manager.import_tasks, [task_of(store.fields())])),
            ("update", functools.partial(manager.update, task["id"], label="x")),
            ("prune", functools.partial(manager.prune, 1)),
            ("ping", manager.ping),
            ("setup", manager.setup),
        ):
            demand_error("DISC-06", f"{asked} after close", TaskBackendError, call)

    @clause("DISC-06")
    def test_closing_one_manager_closes_no_other(self, store: Store) -> None:
        store.given(task_key="job")
        other = store.open()
        other.ping()
        other.list_user_tasks(1)

        other.close()

        demand_answer("DISC-06", "ping of the manager that was not closed", None, store.manager.ping)
        store.given(task_key="job:2")
        store.then_user(1)

    @clause("DISC-07")
    def test_a_healthy_store_answers_a_ping(self, store: Store) -> None:
        fresh = store.open()
        for manager in (store.manager, fresh):
            demand_answer("DISC-07", "ping", None, manager.ping)
        demand("DISC-07", "a lookup after the ping", [], fresh.list_user_tasks(1))
