"""The configuration in force: its settings, its manager and its executor (docs/configuration.md)."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Final, Protocol, Unpack, cast, overload

from module_sdk.domain.sentinels import UNSET, Unset
from module_sdk.domain.shapes import LookupManager
from module_sdk.domain.timestamps import check_timeout
from module_sdk.errors import ConfigurationError, ModuleSDKError
from module_sdk.facade.events import subscribers
from module_sdk.facade.lookup_failures import failures
from module_sdk.facade.lookups import SafeLookups
from module_sdk.facade.managers import open_manager
from module_sdk.facade.settings import (
    SETTING_NAMES,
    ConfigureOptions,
    InjectedOptions,
    Settings,
    Store,
    find_store,
    load_settings,
    variable_of,
)
from module_sdk.plugins.observers import observers
from module_sdk.plugins.registry import registry
from module_sdk.store.manager import TaskManager
from module_sdk.store.open_once import seen_stores

if TYPE_CHECKING:
    from module_sdk.facade.thread_pool import ThreadPool

# How long running work may take to end when the process or its configuration ends.
CLOSE_SECONDS: Final = 5.0
logger = logging.getLogger("module_sdk.tasks")


class ExecutorInterface(Protocol):
    """The part of the executor that a configuration uses. `module_sdk.runner` implements it."""

    def shutdown(self, timeout_seconds: float) -> None:
        """Wait up to `timeout_seconds` for running work to end, then end the rest as `interrupted`."""


class Runtime:
    """One configuration, from `configure` (or first use) to the next `configure` or `reset`."""

    def __init__(
        self,
        settings: Settings,
        source: str,
        *,
        manager: Any = None,
        owns_manager: bool = False,
        configuration_error: ConfigurationError | None = None,
    ) -> None:
        self.settings = settings
        self.source = source
        self.owns_manager = owns_manager
        self.configuration_error = configuration_error
        # Our own manager or an injected object, or `None`.
        self.manager_object = manager
        self.is_closed = False
        self.lock = threading.RLock()
        self.lookups = self.new_lookups()
        self.executor: ExecutorInterface | None = None
        self.started_threads: ThreadPool | None = None

    def new_lookups(self) -> SafeLookups:
        return SafeLookups(
            self.manager_object,
            timeout_seconds=self.settings.lookup_timeout_seconds,
            use_breaker=self.settings.breaker,
        )

    def check(self) -> None:
        """Raise `ConfigurationError` with the reason if there is no manager."""
        if self.configuration_error is not None:
            # The same exception is raised many times: without this, each time would lengthen its traceback.
            raise self.configuration_error.with_traceback(None)
        if self.manager_object is None:
            raise ConfigurationError("no task manager is configured (configure(url=None) turned it off)")

    def manager(self) -> TaskManager:
        """Return the manager for all calls other than lookups. Raise `ConfigurationError` if there is none.

        An injected manager may be any object that has the methods that are called.
        """
        self.check()
        return cast("TaskManager", self.manager_object)

    def threads(self) -> ThreadPool:
        """Return the threads of asynchronous calls."""
        with self.lock:
            if self.started_threads is None:
                from module_sdk.facade.thread_pool import ThreadPool  # noqa: PLC0415  # only async callers need it

                self.started_threads = ThreadPool(self.settings.async_threads)
            return self.started_threads

    def call_seconds(self) -> float:
        """Return the timeout of a call that sets none itself, in seconds. It includes the wait for a thread."""
        manager = self.manager_object
        return manager.options.timeout_seconds if isinstance(manager, TaskManager) else self.settings.timeout_seconds

    def shutdown(self, timeout_seconds: float) -> None:
        """Wait for running work, then end the rest as `interrupted`. The manager can still run later work."""
        executor = self.executor
        if executor is not None:
            executor.shutdown(timeout_seconds)

    def close(self) -> None:
        with self.lock:
            # The executor must not start after this: nothing would end its work at the exit of the process.
            self.is_closed = True
        self.shutdown(CLOSE_SECONDS)
        self.lookups.stop()
        if self.started_threads is not None:
            self.started_threads.close()
        if self.owns_manager:
            try:
                self.manager().close()
            except ModuleSDKError:
                # Another configuration is in force already, so there is nothing to undo.
                logger.exception("the earlier store could not be closed")

    def after_fork(self) -> None:
        """Replace locks and threads in a forked child: threads of the parent do not exist there and release no lock."""
        self.lock = threading.RLock()
        self.lookups = self.new_lookups()
        self.executor = None
        self.started_threads = None


state_lock = threading.RLock()
state: list[Runtime] = []
"""Empty, or the one configuration in force."""


def get_runtime() -> Runtime:
    """Return the configuration in force. Without `configure`, load it from the environment and the files."""
    try:
        return state[0]
    except IndexError:
        with state_lock:
            if not state:
                found = from_environment()
                # A signal handler on this thread can enter the same reentrant lock and may have been first.
                if not state:
                    state.append(found)
            return state[0]


def from_environment() -> Runtime:
    """Return the configuration of environment and files, or one that keeps its error for lookups and writes."""
    try:
        loaded = load_settings({})
        return open_runtime(loaded.settings, find_store(loaded), {})
    except ConfigurationError as error:
        return Runtime(Settings(), "the environment", configuration_error=error)


def open_runtime(settings: Settings, store: Store, extra: dict[str, Any], *, by_command: bool = False) -> Runtime:
    manager = open_manager(store.url, **settings.manager_options(), **store.options(), **extra)
    manager.source = store.source
    if store.is_default and not by_command:
        logger.warning(
            "no store is configured, so tasks are kept in %s: set %s to choose a store, or require_url to get an error",
            manager.url,
            variable_of("url"),
        )
    return Runtime(settings, store.source, manager=manager, owns_manager=True)


@overload
def configure(url: str = ..., **options: Unpack[ConfigureOptions]) -> None: ...
@overload
def configure(url: None, **options: Unpack[InjectedOptions]) -> None: ...
@overload
def configure(*, manager: TaskManager | LookupManager | None, **options: Unpack[InjectedOptions]) -> None: ...
def configure(
    url: str | Unset | None = UNSET,
    *,
    manager: TaskManager | LookupManager | Unset | None = UNSET,
    **options: Unpack[ConfigureOptions],
) -> None:
    """Choose the store. The first use connects to it.

    Settings that are not passed come from the environment and the configuration files (docs/configuration.md). An
    earlier manager that was opened from a URL is closed.

    Example:
        module_sdk.configure(url="postgresql://app@db/app", namespace="shop", lookup_timeout_seconds=1)

    Args:
        url: The URL of the store. `None` means no manager: lookups are empty, all other calls raise.
        manager: A manager to use instead of one opened from a URL. The application must close it.
        **options: The fields of `settings.Settings`; durations are in seconds. Pass an option that only one backend
            knows as `**own`, where `own` is a `dict[str, Any]`, because type checkers do not know its name.

    Raises:
        ConfigurationError: The URL or an option is wrong. The earlier configuration remains in force.
    """
    apply_configuration(url, manager, {**options})


def apply_configuration(url: Any, manager: Any, options: dict[str, Any], *, by_command: bool = False) -> None:
    """Do what `configure` does. With `by_command`, log no warning: a command prints its store itself."""
    if (url is not UNSET and manager is not UNSET) or ((manager is not UNSET or url is None) and "url_file" in options):
        raise ConfigurationError("pass only one of url, manager and url_file")
    given = {name: value for name, value in options.items() if name in SETTING_NAMES}
    extra = {name: value for name, value in options.items() if name not in SETTING_NAMES}
    if manager is not UNSET or url is None:
        refuse_misspelt(extra, refuse_all=True)
        settings = load_settings(given).settings
        source = "configure(url=None)" if manager is UNSET else "configure(manager=…)"
        runtime = Runtime(settings, source, manager=None if manager is UNSET else manager)
    else:
        if url is not UNSET:
            given["url"] = url
        refuse_misspelt(extra)
        loaded = load_settings(given)
        runtime = open_runtime(loaded.settings, find_store(loaded), extra, by_command=by_command)
    replace(runtime)


def refuse_misspelt(extra: dict[str, Any], *, refuse_all: bool = False) -> None:
    """Raise `ConfigurationError` for an option that is similar to a setting. The backend checks the others."""
    if extra:
        from module_sdk.facade import near_misses  # noqa: PLC0415  # hardly ever needed

        near_misses.check_options(extra, SETTING_NAMES, refuse_all=refuse_all)


def replace(runtime: Runtime | None) -> None:
    with state_lock:
        earlier = list(state)
        state[:] = [] if runtime is None else [runtime]
    for old in earlier:
        old.close()


def reset() -> None:
    """Discard the configuration, observers, subscribers and counters. Work that does not end in 5 s is `interrupted`.

    Registered functions remain, because they are code and not configuration. The first use of a store may create a
    schema again, as in a new process (SEE-10).
    """
    replace(None)
    seen_stores.clear()
    observers.forget()
    failures.forget()
    subscribers.forget()


def current_runtime() -> Runtime | None:
    """Return the configuration in force, or `None`. Load none."""
    return state[0] if state else None


def shutdown(timeout_seconds: float = CLOSE_SECONDS) -> None:
    """Wait for running work to end, then record the rest as `interrupted` with the error `shutdown`. Also runs at exit.

    Args:
        timeout_seconds: How long running work may take to end. 0 does not wait; `math.inf` waits without limit.

    Raises:
        InvalidInputError: `timeout_seconds` is negative or not a number.
    """
    seconds = check_timeout(timeout_seconds)
    for runtime in state:
        runtime.shutdown(seconds)


def after_fork() -> None:
    """Replace the locks in a forked child. One that another thread of the parent had would never be released."""
    global state_lock  # noqa: PLW0603  # the lock itself must be replaced
    state_lock = threading.RLock()
    registry.lock = threading.RLock()
    for runtime in state:
        runtime.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork)
