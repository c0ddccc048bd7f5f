"""Mutants of the rules about organizations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from module_sdk_redis.schema import Layout

from module_sdk.backends import Change, ManagerOptions, Query, StoredRows, TaskRecord
from module_sdk.domain.rows import LookupResult
from tests.mutants.marking import mutant
from tests.mutants.stores.facade import Patch, PatchedFacade, original
from tests.mutants.stores.memory import MemoryMutant
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import SQLMutant


def plain_number(text: str) -> str:
    return text.lstrip("0") or text


def as_float(text: str) -> float | str:
    return float(text) if re.fullmatch(r"-?[1-9][0-9]{0,300}", text) else text


def ascii_digits(text: str) -> str:
    return str(int(text)) if text.isdecimal() else text


def none_for_empty(filters: Mapping[str, Any] | None) -> Any:
    given = dict(filters or {})
    return given | ({"organization_id": None} if given.get("organization_id") == [] else {})


class JoinedLayout(Layout):
    def by_user(self, organization: str, user: str) -> str:
        return f"{self.prefix}u:{organization}:{user}"


@mutant("17", "None organization means all", clause="SCOPE-02")
class NoneMeansAll(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return organization in ("", record.organization_id)


@mutant("18", "organization filter missing on prefix only", clause="SCOPE-01")
class PrefixForgetsOrganization(MemoryMutant):
    def with_prefix(self, organization: str, prefix: str) -> list[TaskRecord]:
        return [r for r in self.tables.records.values() if (r.task_key or "").startswith(prefix) and r.task_key]


@mutant("19", "organization filter missing on user listing only", clause="SCOPE-01")
@mutant("x60", "a user's lists of two organizations merged", clause="SCOPE-09")
class UserListForgetsOrganization(MemoryMutant):
    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        return self.answer([r for r in self.tables.records.values() if r.user_id == user], limit)


@mutant("20", "0 treated as None", clause="SCOPE-05")
class ZeroIsNone(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        stored, asked = ("" if scope == "0" else scope for scope in (record.organization_id, organization))
        return stored == asked


@mutant("21", "organization compared as text prefix", clause="SCOPE-01")
class OrganizationAsPrefix(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return record.organization_id.startswith(organization) if organization else not record.organization_id


@mutant("22", "007 equals 7", clause="SCOPE-04")
class PaddedOrganizationIsTheNumber(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return plain_number(record.organization_id) == plain_number(organization)


@mutant("23", "joined keys without escaping", clause="SCOPE-06")
class JoinedKeys(MemoryMutant):
    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        wanted = f"{organization}:{key}"
        keyed = (r for r in self.tables.records.values() if r.task_key is not None)
        return self.answer([r for r in keyed if f"{r.organization_id}:{r.task_key}" == wanted], limit)


@mutant("42", "dedup ignores organization", clause="SCOPE-12")
class HeldAcrossOrganizations(MemoryMutant):
    def holder(self, record: TaskRecord) -> TaskRecord | None:
        for other in self.tables.records.values():
            if record.active_key is not None and other.active_key == record.active_key:
                return other
        return None


@mutant("64", "total_rows counts outside the scope", clause="SCOPE-11")
class CountsOutsideTheScope(MemoryMutant):
    def store_count(self, query: Query, deadline: float) -> int:
        return super().store_count(Query(None, query.conditions), deadline)


@mutant("r16", "organization filter missing on the key only", clause="SCOPE-01")
class KeyLookupForgetsOrganization(MemoryMutant):
    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        return self.answer([r for r in self.tables.records.values() if r.task_key == key], limit)


@mutant("r17", "tasks without an organization leak", clause="SCOPE-03")
class NoneShowsEverywhere(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return record.organization_id in ("", organization)


@mutant("x25", "wrong types coerced to text", clause="SCOPE-07")
class WrongTypesCoerced(MemoryMutant):
    def list_user_tasks(self, user_id: Any, organization_id: Any = None, **kwargs: Any) -> LookupResult:
        coerced = str(organization_id) if isinstance(organization_id, bytes | float) else organization_id
        return super().list_user_tasks(user_id, coerced, **kwargs)


@mutant("x61", "organizations trimmed", clause="SCOPE-04")
class OrganizationTrimmed(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return record.organization_id.strip() == organization.strip()


@mutant("x62", "organizations fold case", clause="SCOPE-01")
class OrganizationFoldsCase(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return record.organization_id.lower() == organization.lower()


@mutant("x63", "organizations as floats", clause="SCOPE-05")
class OrganizationAsFloat(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return as_float(record.organization_id) == as_float(organization)


@mutant("x64", "organizations without their sign", clause="SCOPE-05")
class OrganizationWithoutSign(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return record.organization_id.removeprefix("-") == organization.removeprefix("-")


@mutant("x65", "digits of any script are a number", clause="SCOPE-04")
class AnyDigitsAreANumber(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return ascii_digits(record.organization_id) == ascii_digits(organization)


@mutant("x66", "the texts null and None mean no organization", clause="SCOPE-06")
class MarkersMeanNone(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        stored, asked = ("" if text in ("null", "None") else text for text in (record.organization_id, organization))
        return stored == asked


@mutant("x72", "a filter overrides the scope", clause="SCOPE-11")
class FilterOverridesScope(MemoryMutant):
    def select(self, query: Query) -> Iterator[TaskRecord]:
        named = any(condition.field == "organization_id" for condition in query.conditions)
        return super().select(Query(None if named else query.organization, query.conditions))


@mutant("x73", "an empty list of organizations means no organization", clause="SCOPE-08")
class NoOrganizationsAreNone(MemoryMutant):
    """Takes a filter by an empty list of organizations for a filter by `None`."""

    def page(self, *, filters: Any = None, **rest: Any) -> LookupResult:
        return super().page(filters=none_for_empty(filters), **rest)

    def count(self, *, filters: Any = None, **rest: Any) -> int:
        return super().count(filters=none_for_empty(filters), **rest)


@mutant("x105", "an update reaches other organizations", clause="SCOPE-11")
class UpdateForgetsOrganization(MemoryMutant):
    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        return super().store_update(task_id, None, change, deadline)


@mutant("x106", "a get reaches other organizations", clause="SCOPE-11")
@mutant("x107", "a session sees other organizations' tasks", clause="SCOPE-10")
class GetForgetsOrganization(MemoryMutant):
    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        return super().store_get(task_id, None, deadline)


@mutant("x146", "sessions are forgotten", clause="SCOPE-10")
class SessionsForgotten(PatchedFacade):
    """Calls by id in a session reach the tasks of every organization."""

    patches: ClassVar[tuple[Patch, ...]] = (
        ("module_sdk.models.read_model:session_scope", lambda: original("module_sdk.domain.sentinels:ANY")),
        ("module_sdk.runner.task_actions:session_scope", lambda: original("module_sdk.domain.sentinels:ANY")),
    )


@mutant("x187", "joined names in Redis", clause="SCOPE-06")
class JoinedNamesInRedis(RedisMutant):
    """Joins organization and user by a colon, without the length of the organization before them."""

    replacements = (
        ("local scoped = #organization .. ':' .. organization .. ':'", "local scoped = organization .. ':'"),
    )

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        self.layout = self.reader.layout = JoinedLayout(options.namespace)


@mutant("s6", "a get by id folds the case of organizations", clause="SCOPE-11")
class IdFoldsOrganization(MemoryMutant):
    """A get finds a task of an organization whose id differs in case."""

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        record = super().store_get(task_id, None, deadline)
        if record is None or organization is None:
            return record
        return record if record.organization_id.lower() == organization.lower() else None


@mutant("s28", "a get that binds id and organization swapped", clause="SCOPE-11")
class GetScopedSwapped(SQLMutant):
    """Binds the id as the organization and the organization as the id, if a get has both."""

    def store_get(self, task_id: str, organization: str | None, deadline: float) -> TaskRecord | None:
        if organization is None:
            return super().store_get(task_id, None, deadline)
        return super().store_get(organization, task_id, deadline)


@mutant("s29", "an update that binds id and organization swapped", clause="SCOPE-11")
class UpdateScopedSwapped(SQLMutant):
    """Binds the id as the organization and the organization as the id, if an UPDATE has both."""

    def store_update(
        self, task_id: str, organization: str | None, change: Change, deadline: float
    ) -> Sequence[Any] | None:
        if organization is None:
            return super().store_update(task_id, None, change, deadline)
        return super().store_update(organization, task_id, change, deadline)
