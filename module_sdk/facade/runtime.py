"""The configuration in force: its settings, its manager, its runner (DESIGN.md, "Configuration")."""

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
from module_sdk.store.open_once import seen_places

if TYPE_CHECKING:
    from module_sdk.facade.thread_pool import ThreadPool

# How long running work gets to end when the process or its configuration does.
CLOSE_SECONDS: Final = 5.0
logger = logging.getLogger("module_sdk.tasks")


class EndsWork(Protocol):
    """What runs work; the runner brings it, and only its end concerns a configuration."""

    def shutdown(self, timeout_seconds: float) -> None:
        """End the running work as `interrupted`, after it had this time to end by itself."""


class Runtime:
    """One configuration, from `configure` (or first use) to the next `configure` or `reset`."""

    def __init__(
        self,
        settings: Settings,
        source: str,
        *,
        manager: Any = None,
        owns_manager: bool = False,
        problem: ConfigurationError | None = None,
    ) -> None:
        self.settings = settings
        self.source = source
        self.owns_manager = owns_manager
        self.problem = problem
        self.foreign_manager = manager
        self.is_closed = False
        self.lock = threading.RLock()
        self.lookups = self.new_lookups()
        self.executor: EndsWork | None = None
        self.started_threads: ThreadPool | None = None

    def new_lookups(self) -> SafeLookups:
        return SafeLookups(
            self.foreign_manager,
            timeout_seconds=self.settings.lookup_timeout_seconds,
            use_breaker=self.settings.breaker,
        )

    def check(self) -> None:
        """Raise `ConfigurationError` when there is no manager, and why."""
        if self.problem is not None:
            # Raised again and again: without this its traceback would grow each time.
            raise self.problem.with_traceback(None)
        if self.foreign_manager is None:
            raise ConfigurationError("no task manager is configured (configure(url=None) turned it off)")

    def manager(self) -> TaskManager:
        """The manager, for all but lookups. An injected one may be any object with the methods that are called."""
        self.check()
        return cast("TaskManager", self.foreign_manager)

    def threads(self) -> ThreadPool:
        """The threads of the asynchronous calls."""
        with self.lock:
            if self.started_threads is None:
                from module_sdk.facade.thread_pool import ThreadPool  # noqa: PLC0415  # only async callers need it

                self.started_threads = ThreadPool(self.settings.async_threads)
            return self.started_threads

    def call_seconds(self) -> float:
        """How long a call may take that is given no deadline of its own, the wait for a thread included."""
        manager = self.foreign_manager
        return manager.options.timeout_seconds if isinstance(manager, TaskManager) else self.settings.timeout_seconds

    def shutdown(self, timeout_seconds: float) -> None:
        """End the running work as `interrupted`; the manager stays usable, and later work is run again."""
        executor = self.executor
        if executor is not None:
            executor.shutdown(timeout_seconds)

    def close(self) -> None:
        with self.lock:
            # Work that began after this would be known to nobody when the process ends.
            self.is_closed = True
        self.shutdown(CLOSE_SECONDS)
        self.lookups.stop()
        if self.started_threads is not None:
            self.started_threads.close()
        if self.owns_manager:
            try:
                self.manager().close()
            except ModuleSDKError:
                # Another configuration is in force already; nothing is left to undo.
                logger.exception("the earlier store could not be closed")

    def after_fork(self) -> None:
        """In a child: threads, and the locks they may have held, stayed with the parent."""
        self.lock = threading.RLock()
        self.lookups = self.new_lookups()
        self.executor = None
        self.started_threads = None


state_lock = threading.RLock()
state: list[Runtime] = []
"""Empty, or the one configuration in force."""


def get_runtime() -> Runtime:
    """The configuration in force; without `configure`, what environment and files say."""
    try:
        return state[0]
    except IndexError:
        with state_lock:
            if not state:
                found = from_environment()
                # A signal's handler that came in between has the same lock, and may have been first.
                if not state:
                    state.append(found)
            return state[0]


def from_environment() -> Runtime:
    """A problem is kept, so that lookups can report it and writes raise it each time."""
    try:
        loaded = load_settings({})
        return open_runtime(loaded.settings, find_store(loaded), {})
    except ConfigurationError as problem:
        return Runtime(Settings(), "the environment", problem=problem)


def open_runtime(settings: Settings, store: Store, extra: dict[str, Any], *, by_command: bool = False) -> Runtime:
    manager = open_manager(store.url, **settings.manager_options(), **store.options(), **extra)
    manager.source = store.source
    if store.is_default and not by_command:
        logger.warning(
            "no store is configured, so tasks are kept in %s: set %s to choose one, or require_url to be without any",
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
    """Choose the store. It is contacted when it is first used.

    What is left out comes from the environment and the configuration files (docs/configuration.md). An earlier manager
    that a URL opened is closed.

    Example:
        module_sdk.configure(url="postgresql://app@db/app", namespace="shop", lookup_timeout_seconds=1)

    Args:
        url: Which store. `None` means no manager: lookups are empty, everything else raises.
        manager: A manager to use instead of one that a URL opens. It is yours to close.
        **options: The fields of `settings.Settings`; time spans are in seconds. An option that only a backend knows is
            passed as `**own`, where `own` is a `dict[str, Any]`, since type checkers know no such names.

    Raises:
        ConfigurationError: The URL or an option is wrong. The earlier configuration stays in force.
    """
    put_in_force(url, manager, {**options})


def put_in_force(url: Any, manager: Any, options: dict[str, Any], *, by_command: bool = False) -> None:
    """`configure`; a command of ours says in its own output which store it works on."""
    if (url is not UNSET and manager is not UNSET) or ((manager is not UNSET or url is None) and "url_file" in options):
        raise ConfigurationError("give either url or manager, and url_file with neither")
    given = {name: value for name, value in options.items() if name in SETTING_NAMES}
    extra = {name: value for name, value in options.items() if name not in SETTING_NAMES}
    if manager is not UNSET or url is None:
        refuse_misspelt(extra, all_of_them=True)
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


def refuse_misspelt(extra: dict[str, Any], *, all_of_them: bool = False) -> None:
    """Raise `ConfigurationError` for an option that is nearly a setting; the others are the backend's to know."""
    if extra:
        from module_sdk.facade import near_misses  # noqa: PLC0415  # hardly ever needed

        near_misses.check_options(extra, SETTING_NAMES, all_of_them=all_of_them)


def replace(runtime: Runtime | None) -> None:
    with state_lock:
        earlier = list(state)
        state[:] = [] if runtime is None else [runtime]
    for old in earlier:
        old.close()


def reset() -> None:
    """Forget the configuration, observers, subscribers and counters. Running work ends as `interrupted`.

    Registered functions stay: they are code, not configuration. First use may create a schema again, as in a new
    process (SEE-10).
    """
    replace(None)
    seen_places.clear()
    observers.forget()
    failures.forget()
    subscribers.forget()


def current_runtime() -> Runtime | None:
    """The configuration in force, without bringing one about."""
    return state[0] if state else None


def shutdown(timeout_seconds: float = CLOSE_SECONDS) -> None:
    """Let running work end, then record the rest as `interrupted` with the error `shutdown`. Also runs at exit.

    Args:
        timeout_seconds: How long running work may take to end; 0 does not wait, `math.inf` waits without end.

    Raises:
        InvalidInputError: `timeout_seconds` is negative or no number.
    """
    seconds = check_timeout(timeout_seconds)
    for runtime in state:
        runtime.shutdown(seconds)


def after_fork() -> None:
    """In a child: locks that another thread of the parent held at that moment would never be released."""
    global state_lock  # noqa: PLW0603  # the lock itself is what must be new
    state_lock = threading.RLock()
    registry.lock = threading.RLock()
    for runtime in state:
        runtime.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork)
