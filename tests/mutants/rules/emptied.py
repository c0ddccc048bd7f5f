"""Mutants of the rule about a store that is emptied while processes use it (SEE-10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from module_sdk_mongo.records import document_of
from pymongo.errors import DuplicateKeyError

from module_sdk.backends import SchemaMissingError, TaskRecord
from module_sdk.domain.rows import LookupResult
from module_sdk.store.open_once import OpenOnce
from tests.mutants.marking import mutant
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.sql import SQLMutant


@mutant("e1", "an emptied store is read as an empty one", clause="SEE-10")
class GoesOnAsEmpty(SQLMutant):
    def find(self, primitive: Any, arguments: Any, limit: int | None, timeout_seconds: float | None) -> LookupResult:
        try:
            return super().find(primitive, arguments, limit, timeout_seconds)
        except SchemaMissingError:
            return LookupResult()


@mutant("e2", "the call that misses a dropped schema creates it again", clause="SEE-10")
class CreatesAgain(SQLMutant):
    def call_open(self, primitive: Callable[..., Any], *args: Any) -> Any:
        try:
            return super().call_open(primitive, *args)
        except SchemaMissingError:
            self.setup()
            return super().call_open(primitive, *args)


@mutant("e3", "a schema that was missing once is never found again", clause="SEE-10")
class NeverRecovers(SQLMutant):
    is_lost = False

    def call_open(self, primitive: Callable[..., Any], *args: Any) -> Any:
        if self.is_lost:
            raise self.missing_schema()
        try:
            return super().call_open(primitive, *args)
        except SchemaMissingError:
            self.is_lost = True
            raise


@mutant("e4", "the next manager of the process creates a dropped schema", clause="SEE-10")
class EachManagerCreates(SQLMutant):
    def new_opening(self) -> OpenOnce:
        opening = super().new_opening()
        opening.identity = object()
        return opening


@mutant("e5", "a missing table is reported as any other failure", clause="SEE-10", on="postgresql")
class FailsUntilRestart(SQLMutant):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        dialect: Any = self.dialect
        dialect.is_missing_schema = lambda error: False


@mutant("e6", "dropped collections are read as empty in MongoDB", clause="SEE-10")
class NeverLooksAgain(MongoMutant):
    def check_store(self) -> None:
        pass


@mutant("e7", "an insert creates a dropped collection in MongoDB", clause="SEE-10")
class InsertsAnywhere(MongoMutant):
    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        try:
            self.connection.tasks.insert_one(document_of(record))
        except DuplicateKeyError:
            return super().store_create(record, deadline)
        return record
