"""Mutants of prefixes, keys, users and organizations."""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from typing import Any

from module_sdk.backends import InvalidInputError, StoredRows, TaskRecord, statuses
from module_sdk.rows import LookupResult
from module_sdk.text_rules import MAXIMUM_KEY_BYTES, fits
from tests.mutants.bases import MemoryMutant

# --- Prefixes ---------------------------------------------------------------------------------------------------------


def like(pattern: str, text: str, *, escape: str = "") -> bool:
    """SQL's LIKE, case-exact."""
    parts = []
    characters = iter(pattern)
    for character in characters:
        if character == escape:
            parts.append(re.escape(next(characters, "")))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


class LikeWithoutEscaping(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return like(f"{prefix}%", key)


class LikeEscapeNotEscaped(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return like(re.sub("([%_])", r"\\\1", prefix) + "%", key, escape="\\")


class LikeFoldsCase(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return key[: len(prefix)].encode().lower() == prefix.encode().lower()


class RegexNotEscaped(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        try:
            return re.match(prefix, key) is not None
        except re.error:
            return False


class RegexNotAnchored(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return re.search(re.escape(prefix), key) is not None


class RegexAnchoredByLine(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return re.search(f"^{re.escape(prefix)}", key, re.MULTILINE) is not None


class GlobInMatch(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return fnmatch.fnmatchcase(key, f"{prefix}*")


class OneScanPage(MemoryMutant):
    def family(self, organization: str, prefix: str) -> list[TaskRecord]:
        return super().family(organization, prefix)[:1_000]


class PrefixBySegment(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return not prefix or key == prefix or key.startswith((f"{prefix}.", f"{prefix}:"))


class UpperBoundZ(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return prefix <= key < f"{prefix}z"


class UpperBoundFFFF(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return prefix <= key < f"{prefix}\uffff"


class EmptyPrefixFindsNothing(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return bool(prefix) and key.startswith(prefix)


class EmptyPrefixFindsUnkeyed(MemoryMutant):
    def family(self, organization: str, prefix: str) -> list[TaskRecord]:
        return [r for r in self.scoped(organization) if self.starts(r.task_key or "", prefix)]


class WholeKeyLeftOut(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return key.startswith(prefix) and key != prefix


class RowTwiceAfterAScan(MemoryMutant):
    def family(self, organization: str, prefix: str) -> list[TaskRecord]:
        found = super().family(organization, prefix)
        return [*found, *found[-1:]] if len(found) > 2 else found


class UpperBoundByNextCharacter(MemoryMutant):
    """Adds one to the last character, and gives up where there is none."""

    def starts(self, key: str, prefix: str) -> bool:
        if not prefix:
            return True
        last = ord(prefix[-1])
        return prefix <= key < prefix[:-1] + chr(min(last + 1, 0x10FFFF))


class PrefixComposed(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return unicodedata.normalize("NFC", key).startswith(unicodedata.normalize("NFC", prefix))


class ImpossiblePrefixRefused(MemoryMutant):
    def get_tasks_by_key_prefix(self, prefix: str, *args: Any, **kwargs: Any) -> LookupResult:
        if isinstance(prefix, str) and not fits(prefix, MAXIMUM_KEY_BYTES):
            raise InvalidInputError("no key may start with this", field="prefix")
        return super().get_tasks_by_key_prefix(prefix, *args, **kwargs)


# --- Keys -------------------------------------------------------------------------------------------------------------


class KeysFoldCase(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return key.casefold() == wanted.casefold()


class KeysIgnoreAccents(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return bare(key) == bare(wanted)


class KeysIgnoreTrailingBlanks(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return key.rstrip(" ") == wanted.rstrip(" ")


class KeysNormalizedOnWrite(MemoryMutant):
    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        key = record.task_key and unicodedata.normalize("NFC", record.task_key)
        written = record._replace(task_key=key, active_key=record.active_key and key)
        standing = super().store_create(written, deadline)
        return record if standing == written else standing


class KeysCutAt255(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return key[:255] == wanted[:255]


class NumericKeysCoerced(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        try:
            return float(key) == float(wanted)
        except ValueError:
            return key == wanted


class QuotesDoubled(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return key == wanted.replace("'", "''")


class LatestRunOnly(MemoryMutant):
    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        return super().store_find_by_key(organization, key, 1, deadline)


class KeyMatchesIds(MemoryMutant):
    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        return self.answer([r for r in self.scoped(organization) if key in (r.task_key, r.id)], limit)


class UnkeyedMatchesNone(MemoryMutant):
    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        with self.tables.lock:
            return self.answer([r for r in self.scoped(organization) if str(r.task_key) == key], limit)


# --- Users and organizations ------------------------------------------------------------------------------------------


class UserAsPrefix(MemoryMutant):
    def has_user(self, record: TaskRecord, user: str) -> bool:
        return record.user_id.startswith(user)


class UserFoldsCase(MemoryMutant):
    def has_user(self, record: TaskRecord, user: str) -> bool:
        return record.user_id.lower() == user.lower()


class UserListOfActive(MemoryMutant):
    def has_user(self, record: TaskRecord, user: str) -> bool:
        return record.user_id == user and record.status in statuses.ACTIVE


class WrongTypesCoerced(MemoryMutant):
    def list_user_tasks(self, user_id: Any, organization_id: Any = None, **kwargs: Any) -> LookupResult:
        coerced = str(organization_id) if isinstance(organization_id, bytes | float) else organization_id
        return super().list_user_tasks(user_id, coerced, **kwargs)


class UserIsOrganization(MemoryMutant):
    def has_user(self, record: TaskRecord, user: str) -> bool:
        return user in (record.user_id, record.organization_id)


class NoneMeansAll(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return organization in ("", record.organization_id)


class NoneShowsEverywhere(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return record.organization_id in ("", organization)


class PrefixForgetsOrganization(MemoryMutant):
    def family(self, organization: str, prefix: str) -> list[TaskRecord]:
        return [r for r in self.tables.records.values() if (r.task_key or "").startswith(prefix) and r.task_key]


class UserListForgetsOrganization(MemoryMutant):
    def store_find_by_user(self, organization: str, user: str, limit: int | None, deadline: float) -> StoredRows:
        return self.answer([r for r in self.tables.records.values() if r.user_id == user], limit)


class KeyLookupForgetsOrganization(MemoryMutant):
    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        return self.answer([r for r in self.tables.records.values() if r.task_key == key], limit)


class ZeroIsNone(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        stored, asked = ("" if scope == "0" else scope for scope in (record.organization_id, organization))
        return stored == asked


class OrganizationAsPrefix(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return record.organization_id.startswith(organization) if organization else not record.organization_id


class PaddedOrganizationIsTheNumber(MemoryMutant):
    def in_scope(self, record: TaskRecord, organization: str) -> bool:
        return plain_number(record.organization_id) == plain_number(organization)


class JoinedKeys(MemoryMutant):
    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        wanted = f"{organization}:{key}"
        keyed = (r for r in self.tables.records.values() if r.task_key is not None)
        return self.answer([r for r in keyed if f"{r.organization_id}:{r.task_key}" == wanted], limit)


def bare(text: str) -> str:
    """Without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def plain_number(text: str) -> str:
    return text.lstrip("0") or text
