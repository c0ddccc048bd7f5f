"""All errors that module-sdk raises, in one class tree."""

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
    """The base class of all errors of module-sdk."""


class ConfigurationError(ModuleSDKError, RuntimeError):
    """There is no usable store: a bad URL, no driver, no manager, or a schema that is missing or too new."""


class SchemaMissingError(ConfigurationError):
    """The store has no schema: `setup` never ran, or the store was emptied while this process used it (SEE-10)."""


class SessionRequiredError(ModuleSDKError, ValueError):
    """The call needs the organization or the user of a session, and no session is bound."""


class InvalidInputError(ModuleSDKError, ValueError):
    """An argument has a value that no task can have.

    `field` names the argument. `maximum` is the limit that was exceeded, or `None` if the rule is not a limit.
    """

    def __init__(self, message: str, *, field: str, maximum: int | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.maximum = maximum


class PayloadError(InvalidInputError):
    """A checkpoint, result, confirmation or argument is not JSON, too large or nested too deeply."""


class IllegalTransitionError(ModuleSDKError):
    """The task's status does not allow the change; nothing was changed.

    `status` is the status of the task; `wanted` is the requested status, or `None` for a change of other fields.
    """

    def __init__(self, task_id: str, *, status: str, wanted: str | None) -> None:
        change = "changed" if wanted is None else f"moved to {wanted!r}"
        super().__init__(f"task {task_id} is {status!r} and cannot be {change}")
        self.task_id = task_id
        self.status = status
        self.wanted = wanted


class TaskConflictError(ModuleSDKError):
    """Another task has the same id, or is active with the same key in the same organization."""


class TaskNotFoundError(ModuleSDKError, LookupError):
    """The session's organization has no task with that id."""


class TaskCancelledError(ModuleSDKError):
    """The calling task was cancelled. Its work should stop."""


class CapabilityError(ModuleSDKError):
    """The manager does not declare the capability that the call needs."""


class TaskBackendError(ModuleSDKError):
    """The store refused the call or failed. The driver's error is the cause."""


class TaskBackendUnavailableError(TaskBackendError):
    """The store could not be reached, or did not answer in time."""
