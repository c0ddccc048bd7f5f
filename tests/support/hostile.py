"""The worst code of users and hosts: errors, results, log handlers and observers that exit or interrupt."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any, NoReturn

import pydantic
import pytest

import module_sdk


class Abort(BaseException):
    pass


def leave(*_: object) -> NoReturn:
    raise SystemExit("hostile")


def recurse(error: BaseException) -> str:
    return str(error)


class ExitsAsTextError(Exception):
    __str__ = leave


class InterruptsAsTextError(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


class AbortsAsTextError(Abort):
    def __str__(self) -> str:
        raise Abort


class EndlessTextError(Exception):
    __str__ = recurse


class NoMemoryForTextError(Exception):
    def __str__(self) -> str:
        raise MemoryError


class NoTextError(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307  # Python raises TypeError


class Unprintable:
    __repr__ = leave


class ExitsAsClassError(Exception):
    __class__ = property(leave)


class ExitsAsTracebackError(Exception):
    __traceback__ = property(leave)


class NamelessType(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__name__", "__qualname__", "__module__"):
            leave()
        return super().__getattribute__(name)


class NamelessError(Exception, metaclass=NamelessType):
    pass


class Text(str):
    __slots__ = ()

    def __format__(self, spec: str) -> str:
        leave()


class OwnTextError(Exception):
    def __str__(self) -> str:
        return Text("odd")


def failed_by_pytest() -> BaseException:
    try:
        pytest.fail("told")
    except BaseException as error:
        return error


class ExitingItems(dict[str, Any]):
    items = leave
    values = leave


class ExitingIteration(set[Any]):
    __iter__ = leave
    __len__ = leave


class ExitingClass:
    __class__ = property(leave)


@dataclasses.dataclass
class ExitingField:
    number: int = 1

    def __getattribute__(self, name: str) -> Any:
        if name == "number":
            raise KeyboardInterrupt
        return super().__getattribute__(name)


class ExitingModel(pydantic.BaseModel):
    number: int = 1

    @pydantic.field_serializer("number")
    def leave(self, value: int) -> int:
        leave()


class EndlessItems(dict[str, Any]):
    def items(self) -> Any:
        return self.items()


class RaisingHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        leave()


class RaisingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        raise Abort


class RaisingObserver:
    @module_sdk.hookimpl
    def module_sdk_task_changed(self, row: dict[str, Any], change: str) -> None:
        leave()

    @module_sdk.hookimpl
    def module_sdk_lookup_failed(self, operation: str, error: Exception) -> None:
        leave()
