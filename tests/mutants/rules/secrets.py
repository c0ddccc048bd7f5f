"""Mutants of the rule that errors and their causes repeat no part of a password."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy.engine import make_url

from module_sdk.backends import ConfigurationError, ManagerOptions
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import MemoryMutant
from tests.mutants.stores.sql import SQLMutant


@mutant("p1", "the error of a refused URL repeats the URL", clause="DISC-08")
class RepeatsTheURL(MemoryMutant):
    def __init__(self, url: str, options: ManagerOptions) -> None:
        try:
            super().__init__(url, options)
        except ConfigurationError as error:
            raise ConfigurationError(f"{url} is not a valid URL: {error}") from error


@mutant("p2", "the message of the URL parser is passed on", clause="DISC-08")
class QuotesTheParser(SQLMutant):
    def __init__(self, url: str, options: ManagerOptions) -> None:
        try:
            make_url(url)
        except ValueError as error:
            raise ConfigurationError(f"the URL cannot be read: {error}") from None
        super().__init__(url, options)


@mutant("p3", "the parser's error stays as the context of a clean error", clause="DISC-08")
class HidesTheParserPoorly(SQLMutant):
    def __init__(self, url: str, options: ManagerOptions) -> None:
        try:
            make_url(url)
        except ValueError:
            raise ConfigurationError("the URL cannot be read") from None
        super().__init__(url, options)


@mutant("p4", "a driver's error that repeats the URL is the cause of a clean error", clause="DISC-08")
class KeepsTheCause(MemoryMutant):
    def store_open(self, create: bool, deadline: float) -> None:
        if "@" in self.url.text:
            raise OSError(f"cannot connect to {self.url.text}")

    def call(self, primitive: Callable[..., Any], *args: Any) -> Any:
        try:
            return primitive(*args)
        except OSError as error:
            raise self.translate_error(error) from error
