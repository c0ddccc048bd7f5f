"""Mutants of the rules about prefixes."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from module_sdk_redis.queries import moment

from module_sdk.backends import Explanation, InvalidInputError, StoredRows, TaskRecord
from module_sdk.domain.rows import LookupResult
from module_sdk.domain.text_rules import MAXIMUM_KEY_BYTES, fits
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import MemoryMutant, like
from tests.mutants.stores.mongo import MongoMutant
from tests.mutants.stores.redis import RedisMutant
from tests.mutants.stores.sql import SQLMutant, SQLStatementMutant

RANGE = "t.task_key >= :start AND t.task_key < :end"


@mutant("1", "LIKE without escaping", clause="PREFIX-02")
class LikeWithoutEscaping(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return like(f"{prefix}%", key)


@mutant("2", "LIKE folding case", clause="PREFIX-03")
class LikeFoldsCase(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return key[: len(prefix)].encode().lower() == prefix.encode().lower()


@mutant("3", "regex not escaped", clause="PREFIX-02")
class RegexNotEscaped(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        try:
            return re.match(prefix, key) is not None
        except re.error:
            return False


@mutant("4", "regex not anchored", clause="PREFIX-01")
class RegexNotAnchored(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return re.search(re.escape(prefix), key) is not None


@mutant("5", "glob in MATCH", clause="PREFIX-02")
class GlobInMatch(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return fnmatch.fnmatchcase(key, f"{prefix}*")


@mutant("6", "one SCAN page taken for all", clause="PREFIX-10")
class OneScanPage(MemoryMutant):
    def with_prefix(self, organization: str, prefix: str) -> list[TaskRecord]:
        return super().with_prefix(organization, prefix)[:1_000]


@mutant("7", "prefix by segment", clause="PREFIX-05")
class PrefixBySegment(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return not prefix or key == prefix or key.startswith((f"{prefix}.", f"{prefix}:"))


@mutant("8", "upper bound prefix + z", clause="PREFIX-07")
class UpperBoundZ(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return prefix <= key < f"{prefix}z"


@mutant("9", "upper bound prefix + U+FFFF", clause="PREFIX-07")
class UpperBoundFFFF(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return prefix <= key < f"{prefix}\uffff"


@mutant("10", "empty prefix returns nothing", clause="PREFIX-04")
class EmptyPrefixFindsNothing(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return bool(prefix) and key.startswith(prefix)


@mutant("11", "empty prefix returns unkeyed tasks", clause="PREFIX-04")
class EmptyPrefixFindsUnkeyed(MemoryMutant):
    def with_prefix(self, organization: str, prefix: str) -> list[TaskRecord]:
        return [r for r in self.scoped(organization) if self.starts(r.task_key or "", prefix)]


@mutant("r3", "wildcards escaped, the escape character not", clause="PREFIX-02")
class LikeEscapeNotEscaped(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return like(re.sub("([%_])", r"\\\1", prefix) + "%", key, escape="\\")


@mutant("r5", "regex anchored per line", clause="PREFIX-02")
class RegexAnchoredByLine(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return re.search(f"^{re.escape(prefix)}", key, re.MULTILINE) is not None


@mutant("r12", "key equal to the prefix left out", clause="PREFIX-01")
class WholeKeyLeftOut(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return key.startswith(prefix) and key != prefix


@mutant("r29", "a row twice after a scan", clause="PREFIX-01")
class RowTwiceAfterAScan(MemoryMutant):
    def with_prefix(self, organization: str, prefix: str) -> list[TaskRecord]:
        found = super().with_prefix(organization, prefix)
        return [*found, *found[-1:]] if len(found) > 2 else found


@mutant("x18", "prefix bounded by the next character", clause="PREFIX-06")
class UpperBoundByNextCharacter(MemoryMutant):
    """Increments the last character for the upper bound, but leaves U+10FFFF unchanged."""

    def starts(self, key: str, prefix: str) -> bool:
        if not prefix:
            return True
        last = ord(prefix[-1])
        return prefix <= key < prefix[:-1] + chr(min(last + 1, 0x10FFFF))


@mutant("x19", "prefixes compared in NFC", clause="PREFIX-08")
class PrefixComposed(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return unicodedata.normalize("NFC", key).startswith(unicodedata.normalize("NFC", prefix))


@mutant("x20", "an impossible prefix is refused", clause="PREFIX-09")
class ImpossiblePrefixRefused(MemoryMutant):
    def get_tasks_by_key_prefix(self, prefix: str, *args: Any, **kwargs: Any) -> LookupResult:
        if isinstance(prefix, str) and not fits(prefix, MAXIMUM_KEY_BYTES):
            raise InvalidInputError("no key may start with this", field="prefix")
        return super().get_tasks_by_key_prefix(prefix, *args, **kwargs)


@mutant("x52", "one row per key with the prefix", clause="PREFIX-01")
class OneRowOfEachKey(MemoryMutant):
    def with_prefix(self, organization: str, prefix: str) -> list[TaskRecord]:
        found = sorted(super().with_prefix(organization, prefix), key=self.rank)
        return list({record.task_key: record for record in found}.values())


@mutant("x53", "prefixes cut at 255", clause="PREFIX-01")
class PrefixCutAt255(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        return key.startswith(prefix[:255])


@mutant("x54", "a range in UTF-16", clause="PREFIX-07")
class RangeInUTF16(MemoryMutant):
    def starts(self, key: str, prefix: str) -> bool:
        first, last = prefix.encode("utf-16-be"), f"{prefix}\uffff".encode("utf-16-be")
        return first <= key.encode("utf-16-be") < last


@mutant("x156", "LIKE in SQLite", clause="PREFIX-02")
class LikeInSQLite(SQLStatementMutant):
    replacements = ((RANGE, "t.task_key LIKE :start || '%' AND :end <> ''"),)


@mutant("x157", "LIKE in SQLite, escaped", clause="PREFIX-03")
class LikeEscapedInSQLite(SQLStatementMutant):
    """Escapes the wildcards, but LIKE folds case."""

    escaped = "replace(replace(replace(:start, '\\', '\\\\'), '%', '\\%'), '_', '\\_')"
    replacements = ((RANGE, f"t.task_key LIKE {escaped} || '%' ESCAPE '\\' AND :end <> ''"),)


@mutant("x158", "GLOB in SQLite", clause="PREFIX-02")
class GlobInSQLite(SQLStatementMutant):
    replacements = ((RANGE, "t.task_key GLOB :start || '*' AND :end <> ''"),)


@mutant("x169", "no index for a prefix", clause="PREFIX-11")
class NoIndexUsed(SQLStatementMutant):
    def rewrite(self, sql: str) -> str:
        return sql.replace(self.dialect.index_hint(self.tables.by_key), " NOT INDEXED")


@mutant("x175", "LIKE on PostgreSQL", clause="PREFIX-02", on="postgresql")
@mutant("x181", "LIKE on MariaDB", clause="PREFIX-02", on="mariadb")
class LikeOnServers(SQLStatementMutant):
    replacements = ((RANGE, "t.task_key LIKE concat(:start, '%') AND :end <> ''"),)


@mutant("x176", "a regular expression on PostgreSQL", clause="PREFIX-02", on="postgresql")
class RegexOnPostgreSQL(SQLStatementMutant):
    replacements = ((RANGE, "t.task_key ~ ('^' || :start) AND :end <> ''"),)


@mutant("x177", "a prefix that folds case on PostgreSQL", clause="PREFIX-03", on="postgresql")
class IgnoresCaseInPrefixOnPostgreSQL(SQLStatementMutant):
    replacements = ((RANGE, "lower(t.task_key) >= lower(:start) AND lower(t.task_key) < lower(:end)"),)


@mutant("x185", "MATCH in Redis", clause="PREFIX-02")
class MatchInRedis(RedisMutant):
    """Finds the keys by ZSCAN and MATCH, whose pattern is a glob."""

    def store_find_by_prefix(
        self, organization: str, start: str, end: str | None, limit: int | None, deadline: float
    ) -> StoredRows:
        index, cursor = self.layout.by_key(organization), b"0"
        entries: set[bytes] = set()
        while True:
            cursor, found = self.router.read(
                "ZSCAN", index, cursor, "MATCH", f"{start}*", "COUNT", 1_000, deadline=deadline
            )
            entries.update(found[::2])
            if cursor in (b"0", 0) or self.is_one_page():
                break
        return self.rows_of_entries(entries, limit, deadline)

    def is_one_page(self) -> bool:
        return False

    def rows_of_entries(self, entries: set[bytes], limit: int | None, deadline: float) -> StoredRows:
        ids = [entry[-36:].decode() for entry in entries]
        rows = self.reader.rows_of(ids, None, deadline)
        return sorted(rows, key=moment, reverse=True)[:limit]


@mutant("x186", "one page of a scan in Redis", clause="PREFIX-10")
class OnePageInRedis(MatchInRedis):
    def is_one_page(self) -> bool:
        return True


@mutant("x194", "an unescaped regex in MongoDB", clause="PREFIX-02")
class RegexInMongo(MongoMutant):
    def pattern(self, start: str) -> dict[str, Any] | None:
        # A prefix that is not a valid pattern is searched for literally, or MongoDB would raise an error.
        try:
            re.compile(start)
        except re.error:
            return {"$regex": f"^{re.escape(start)}"}
        return {"$regex": f"^{start}"}


@mutant("x195", "an unanchored regex in MongoDB", clause="PREFIX-01")
class UnanchoredInMongo(MongoMutant):
    def pattern(self, start: str) -> dict[str, Any] | None:
        return {"$regex": re.escape(start), "$exists": True}


@mutant("x196", "a regex of lines in MongoDB", clause="PREFIX-02")
class AnchoredByLineInMongo(MongoMutant):
    def pattern(self, start: str) -> dict[str, Any] | None:
        return {"$regex": f"^{re.escape(start)}", "$options": "m"}


@mutant("x197", "a regex without case in MongoDB", clause="PREFIX-03")
class CaselessInMongo(MongoMutant):
    def pattern(self, start: str) -> dict[str, Any] | None:
        return {"$regex": f"^{re.escape(start)}", "$options": "i"}


@mutant("s13", "a prefix quoted by \\Q and \\E", clause="PREFIX-02")
class PrefixQuotedByQE(MemoryMutant):
    r"""Matches PCRE's `^\Q…\E`, in which the first `\E` ends the quoting."""

    def starts(self, key: str, prefix: str) -> bool:
        quoted, _, pattern = prefix.partition("\\E")
        try:
            return re.match(re.escape(quoted) + pattern, key, re.DOTALL) is not None
        except re.error:
            return key.startswith(prefix)


@mutant("s14", "wildcards escaped by #, # itself not", clause="PREFIX-02")
class LikeEscapedByHash(MemoryMutant):
    """Escapes wildcards by `#`, but not `#` itself."""

    def starts(self, key: str, prefix: str) -> bool:
        return like(re.sub("([%_])", r"#\1", prefix) + "%", key, escape="#")


@mutant("s53", "explain reports nothing", clause="PREFIX-11")
class ExplainsNothing(MongoMutant):
    """Reports that no rows were examined and no fields are sent."""

    def store_explain(
        self, operation: str, arguments: Sequence[str | None], limit: int | None, deadline: float
    ) -> Explanation:
        found = super().store_explain(operation, arguments, limit, deadline)
        return dataclasses.replace(found, rows_examined=0, fields=())


@mutant("s56", "explain reports estimates", clause="PREFIX-11", on="postgresql")
class EstimatesExplained(SQLMutant):
    """Reports the number of rows that the planner of PostgreSQL expects."""

    def store_explain(
        self, operation: str, arguments: Sequence[str | None], limit: int | None, deadline: float
    ) -> Explanation:
        found = super().store_explain(operation, arguments, limit, deadline)
        plan = json.loads(found.plan)[0]["Plan"]
        while plan.get("Plans"):
            plan = plan["Plans"][0]
        return dataclasses.replace(found, rows_examined=int(plan["Plan Rows"]))
