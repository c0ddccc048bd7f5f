"""One stable API for task state over any store.

`module_sdk.tasks` has the lookups and runs work, `module_sdk.models` has the read model, and `module_sdk.ui` has the
components. The names below configure the SDK and bind sessions. Each name is imported when it is first used.
"""

from __future__ import annotations

import importlib

# Not imported from `typing`: that import takes ten times as long as the rest of this module.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from module_sdk import backends, errors, models, tasks, ui
    from module_sdk import testing as testing
    from module_sdk.binding import BoundSDK, BoundTasks, bind
    from module_sdk.domain.sentinels import ANY
    from module_sdk.domain.shapes import (
        ChangedEvent,
        ProgressEvent,
        SortOrder,
        TaskChange,
        TaskDict,
        TaskEvent,
        TaskFilters,
        TaskPage,
        TaskRow,
        TaskSort,
        TaskStatus,
        TaskView,
    )
    from module_sdk.domain.task import Task
    from module_sdk.errors import (
        CapabilityError,
        ConfigurationError,
        IllegalTransitionError,
        InvalidInputError,
        ModuleSDKError,
        PayloadError,
        SessionRequiredError,
        TaskBackendError,
        TaskBackendUnavailableError,
        TaskCancelledError,
        TaskConflictError,
        TaskNotFoundError,
    )
    from module_sdk.facade.managers import open_manager
    from module_sdk.facade.runtime import configure, reset, shutdown
    from module_sdk.facade.sessions import Session, current_session, session
    from module_sdk.plugins.hookspecs import hookimpl
    from module_sdk.plugins.observers import register_observer, unregister_observer
    from module_sdk.runner.lifespan import lifespan
    from module_sdk.runner.work_calls import ashutdown
    from module_sdk.store.manager import TaskManager

_LAZY_MODULES = frozenset({"backends", "errors", "models", "tasks", "testing", "ui"})
_LAZY_NAMES = {
    "ANY": "domain.sentinels",
    "BoundSDK": "binding",
    "BoundTasks": "binding",
    "CapabilityError": "errors",
    "ChangedEvent": "domain.shapes",
    "ConfigurationError": "errors",
    "IllegalTransitionError": "errors",
    "InvalidInputError": "errors",
    "ModuleSDKError": "errors",
    "PayloadError": "errors",
    "ProgressEvent": "domain.shapes",
    "Session": "facade.sessions",
    "SessionRequiredError": "errors",
    "SortOrder": "domain.shapes",
    "Task": "domain.task",
    "TaskBackendError": "errors",
    "TaskBackendUnavailableError": "errors",
    "TaskCancelledError": "errors",
    "TaskChange": "domain.shapes",
    "TaskConflictError": "errors",
    "TaskDict": "domain.shapes",
    "TaskEvent": "domain.shapes",
    "TaskFilters": "domain.shapes",
    "TaskManager": "store.manager",
    "TaskNotFoundError": "errors",
    "TaskPage": "domain.shapes",
    "TaskRow": "domain.shapes",
    "TaskSort": "domain.shapes",
    "TaskStatus": "domain.shapes",
    "TaskView": "domain.shapes",
    "ashutdown": "runner.work_calls",
    "bind": "binding",
    "configure": "facade.runtime",
    "current_session": "facade.sessions",
    "hookimpl": "plugins.hookspecs",
    "lifespan": "runner.lifespan",
    "open_manager": "facade.managers",
    "register_observer": "plugins.observers",
    "reset": "facade.runtime",
    "session": "facade.sessions",
    "shutdown": "facade.runtime",
    "unregister_observer": "plugins.observers",
}

# `testing` is left out because it imports pytest where that is installed.
__all__ = [
    "ANY",
    "BoundSDK",
    "BoundTasks",
    "CapabilityError",
    "ChangedEvent",
    "ConfigurationError",
    "IllegalTransitionError",
    "InvalidInputError",
    "ModuleSDKError",
    "PayloadError",
    "ProgressEvent",
    "Session",
    "SessionRequiredError",
    "SortOrder",
    "Task",
    "TaskBackendError",
    "TaskBackendUnavailableError",
    "TaskCancelledError",
    "TaskChange",
    "TaskConflictError",
    "TaskDict",
    "TaskEvent",
    "TaskFilters",
    "TaskManager",
    "TaskNotFoundError",
    "TaskPage",
    "TaskRow",
    "TaskSort",
    "TaskStatus",
    "TaskView",
    "ashutdown",
    "backends",
    "bind",
    "configure",
    "current_session",
    "errors",
    "hookimpl",
    "lifespan",
    "models",
    "open_manager",
    "register_observer",
    "reset",
    "session",
    "shutdown",
    "tasks",
    "ui",
    "unregister_observer",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return importlib.import_module(f"module_sdk.{name}")
    if name in _LAZY_NAMES:
        value = getattr(importlib.import_module(f"module_sdk.{_LAZY_NAMES[name]}"), name)
        globals()[name] = value
        return value
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415  # takes as long as all other imports here

        return version("module-sdk")
    raise AttributeError(f"module 'module_sdk' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
