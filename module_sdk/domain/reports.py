"""Saying what happened: the text of an error, and a log entry that cannot fail.

Nothing that the code of others does in here may decide what becomes of a task: neither the texts of its errors nor the
filters, handlers and formatters of the host's logging.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from typing import Final

logger: Final = logging.getLogger("module_sdk.tasks")


def is_a(kind: type | tuple[type, ...], value: object) -> bool:
    """By its type alone: `isinstance` also asks the value for its `__class__`, which is code that may raise."""
    return issubclass(type(value), kind)


def type_name(error: BaseException) -> str:
    """The name of its class, past a metaclass that may answer otherwise or raise."""
    name: str = type.__dict__["__name__"].__get__(type(error))
    return name


def error_text(error: BaseException) -> str:
    """`Type: message`, as a task's error is kept. Never raises."""
    try:
        # An exact text: a subclass of `str` could do anything when it is formatted.
        message = str.__str__(str(error))
    except BaseException:  # the message is code of the exception's author, which may exit, too
        message = "its message cannot be read"
    return f"{type_name(error)}: {message}"


def report(level: int, message: str, *arguments: object, error: BaseException | None = None) -> None:
    """Log on `module_sdk.tasks`, with the traceback of the error. Never raises.

    `arguments` are exact texts and numbers. What a filter, handler or formatter that raises keeps from the log is
    logged once more without the traceback, and goes to the standard error stream when that fails, too.
    """
    try:
        logger.log(level, message, *arguments, exc_info=error)
    except BaseException as trouble:  # of the host's logging
        cause = "" if error is None else f": {error_text(error)}"
        text = f"{message % arguments}{cause} (logging it raised {error_text(trouble)})"
        for say in (functools.partial(logger.log, level, "%s"), functools.partial(print, file=sys.stderr)):
            with contextlib.suppress(BaseException):
                say(text)
                return
