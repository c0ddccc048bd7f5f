"""Every error that module-sdk raises, in one tree (DESIGN.md, "Names")."""

from __future__ import annotations

__all__ = [
    "CapabilityError",
    "ConfigurationError",
    "IllegalTransitionError",
    "InvalidInputError",
    "ModuleSDKError",
    "PayloadError",
    "SchemaMissingError",
    "SessionRequiredError",
    "TaskBackendError",
    "TaskBackendUnavailableError",
    "TaskCancelledError",
    "TaskConflictError",
    "TaskNotFoundError",
]


class ModuleSDKError(Exception):
    """The root: catching it catches all the others."""


class ConfigurationError(ModuleSDKError, RuntimeError):
    """No usable store: a bad URL, a missing driver, no manager, a schema that is absent or too new."""


class SchemaMissingError(ConfigurationError):
    """The store has no schema: `setup` never ran, or the store was emptied while this process used it (SEE-10)."""


class SessionRequiredError(ModuleSDKError, ValueError):
    """The call is confined to a session's organization, or needs its user, and none is bound."""


class InvalidInputError(ModuleSDKError, ValueError):
    """An argument that no task can have.

    `field` names the argument; `maximum` is the bound it broke, or `None` where the rule is not a size.
    """

    def __init__(self, message: str, *, field: str, maximum: int | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.maximum = maximum


class PayloadError(InvalidInputError):
    """A checkpoint, result, confirmation or argument that is not JSON, or is too large or too deep."""


class IllegalTransitionError(ModuleSDKError):
    """The task's status does not allow the change; nothing was changed.

    `status` is what the task had, `wanted` the status asked for (`None` for a change of other fields).
    """

    def __init__(self, task_id: str, *, status: str, wanted: str | None) -> None:
        change = "changed" if wanted is None else f"moved to {wanted!r}"
        super().__init__(f"task {task_id} is {status!r} and cannot be {change}")
        self.task_id = task_id
        self.status = status
        self.wanted = wanted


class TaskConflictError(ModuleSDKError):
    """Another task holds the id, or is active with the same key in the same organization."""


class TaskNotFoundError(ModuleSDKError, LookupError):
    """No task of that id exists in the session's organization."""


class TaskCancelledError(ModuleSDKError):
    """The task that asks was cancelled: its work should stop."""


class CapabilityError(ModuleSDKError):
    """The manager does not declare the capability that the call needs."""


class TaskBackendError(ModuleSDKError):
    """The store refused or failed; the driver's error is the cause."""


class TaskBackendUnavailableError(TaskBackendError):
    """The store could not be reached, or did not answer in time."""
