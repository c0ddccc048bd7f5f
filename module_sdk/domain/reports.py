"""Error texts and log entries that cannot fail.

These functions run code of others: the texts of exceptions, and the filters, handlers and formatters of the host's
logging. An exception in that code must not change the outcome of a task.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from typing import Final

logger: Final = logging.getLogger("module_sdk.tasks")


def is_a(kind: type | tuple[type, ...], value: object) -> bool:
    """Return whether the type matches. `isinstance` would also read `__class__`, which may be code that raises."""
    return issubclass(type(value), kind)


def type_name(error: BaseException) -> str:
    """Return the name of the error's class, bypassing a metaclass that may return another name or raise."""
    name: str = type.__dict__["__name__"].__get__(type(error))
    return name


def error_text(error: BaseException) -> str:
    """Return `Type: message`, the form in which a task's error is stored. Never raises."""
    try:
        # An exact `str`: a subclass could do anything when it is formatted.
        message = str.__str__(str(error))
    except BaseException:  # `__str__` is code of the exception's author and may even raise SystemExit
        message = "its message cannot be read"
    return f"{type_name(error)}: {message}"


def report(level: int, message: str, *arguments: object, error: BaseException | None = None) -> None:
    """Log on `module_sdk.tasks`, with the traceback of the error. Never raises.

    `arguments` must be exact texts and numbers. If a filter, handler or formatter raises, the entry is logged again
    without the traceback; if that fails too, it is printed to the standard error stream.
    """
    try:
        logger.log(level, message, *arguments, exc_info=error)
    except BaseException as trouble:  # raised by the host's logging
        cause = "" if error is None else f": {error_text(error)}"
        text = f"{message % arguments}{cause} (logging it raised {error_text(trouble)})"
        for say in (functools.partial(logger.log, level, "%s"), functools.partial(print, file=sys.stderr)):
            with contextlib.suppress(BaseException):
                say(text)
                return
