"""One stable API for task state over any store.

`module_sdk.tasks` has the lookups and runs work, `module_sdk.models` the read model, `module_sdk.ui` the components;
the names below configure and bind. Everything is loaded when it is first used.
"""

from __future__ import annotations

import importlib

# Not from `typing`, which costs ten times as much to import as all of this.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from module_sdk import backends, errors, models, tasks, ui
    from module_sdk import testing as testing
    from module_sdk.bound import BoundSDK, BoundTasks, bind
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
    from module_sdk.hookspecs import hookimpl
    from module_sdk.hosting import lifespan
    from module_sdk.manager import TaskManager
    from module_sdk.observers import register_observer, unregister_observer
    from module_sdk.registry import open_manager
    from module_sdk.runtime import configure, reset, shutdown
    from module_sdk.sentinels import ANY
    from module_sdk.sessions import Session, current_session, session
    from module_sdk.shapes import (
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
    from module_sdk.task import Task
    from module_sdk.work_calls import ashutdown

_LAZY_MODULES = frozenset({"backends", "errors", "models", "tasks", "testing", "ui"})
_LAZY_NAMES = {
    "ANY": "sentinels",
    "BoundSDK": "bound",
    "BoundTasks": "bound",
    "CapabilityError": "errors",
    "ChangedEvent": "shapes",
    "ConfigurationError": "errors",
    "IllegalTransitionError": "errors",
    "InvalidInputError": "errors",
    "ModuleSDKError": "errors",
    "PayloadError": "errors",
    "ProgressEvent": "shapes",
    "Session": "sessions",
    "SessionRequiredError": "errors",
    "SortOrder": "shapes",
    "Task": "task",
    "TaskBackendError": "errors",
    "TaskBackendUnavailableError": "errors",
    "TaskCancelledError": "errors",
    "TaskChange": "shapes",
    "TaskConflictError": "errors",
    "TaskDict": "shapes",
    "TaskEvent": "shapes",
    "TaskFilters": "shapes",
    "TaskManager": "manager",
    "TaskNotFoundError": "errors",
    "TaskPage": "shapes",
    "TaskRow": "shapes",
    "TaskSort": "shapes",
    "TaskStatus": "shapes",
    "TaskView": "shapes",
    "ashutdown": "work_calls",
    "bind": "bound",
    "configure": "runtime",
    "current_session": "sessions",
    "hookimpl": "hookspecs",
    "lifespan": "hosting",
    "open_manager": "registry",
    "register_observer": "observers",
    "reset": "runtime",
    "session": "sessions",
    "shutdown": "runtime",
    "unregister_observer": "observers",
}

# Without `testing`, which loads pytest where that is installed.
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
        from importlib.metadata import version  # noqa: PLC0415  # costs as much as the rest together

        return version("module-sdk")
    raise AttributeError(f"module 'module_sdk' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
