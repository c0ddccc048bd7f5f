"""Mutants of the rules about exact keys."""

from __future__ import annotations

import re
import unicodedata

from module_sdk.backends import StoredRows, TaskRecord
from tests.mutants.marking import mutant
from tests.mutants.stores.memory import MemoryMutant, bare
from tests.mutants.stores.sql import SQLStatementMutant


def printable(text: str) -> str:
    return "".join(character for character in text if unicodedata.category(character) != "Cc")


KEY = "t.task_key = :key"


@mutant("12", "exact key by case-folding collation", clause="KEY-01")
class KeysFoldCase(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return key.casefold() == wanted.casefold()


@mutant("13", "trailing blanks ignored", clause="KEY-01")
class KeysIgnoreTrailingBlanks(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return key.rstrip(" ") == wanted.rstrip(" ")


@mutant("14", "NFC normalization on write", clause="KEY-01")
class KeysNormalizedOnWrite(MemoryMutant):
    def store_create(self, record: TaskRecord, deadline: float) -> TaskRecord:
        key = record.task_key and unicodedata.normalize("NFC", record.task_key)
        written = record._replace(task_key=key, active_key=record.active_key and key)
        stored = super().store_create(written, deadline)
        return record if stored == written else stored


@mutant("15", "key truncated to 255", clause="KEY-04")
class KeysCutAt255(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return key[:255] == wanted[:255]


@mutant("16", "numeric-looking keys coerced", clause="KEY-06")
class NumericKeysCoerced(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        try:
            return float(key) == float(wanted)
        except ValueError:
            return key == wanted


@mutant("r7", "exact key ignores accents", clause="KEY-01")
class KeysIgnoreAccents(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return bare(key) == bare(wanted)


@mutant("x5", "the key 'None' finds tasks without a key", clause="KEY-03")
class UnkeyedMatchesNone(MemoryMutant):
    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        with self.tables.lock:
            return self.answer([r for r in self.scoped(organization) if str(r.task_key) == key], limit)


@mutant("x21", "quotes doubled in keys", clause="KEY-02")
class QuotesDoubled(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return key == wanted.replace("'", "''")


@mutant("x22", "only the latest run of a key", clause="KEY-05")
class LatestRunOnly(MemoryMutant):
    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        return super().store_find_by_key(organization, key, 1, deadline)


@mutant("x23", "a key lookup finds ids", clause="KEY-07")
class KeyMatchesIds(MemoryMutant):
    def store_find_by_key(self, organization: str, key: str, limit: int | None, deadline: float) -> StoredRows:
        return self.answer([r for r in self.scoped(organization) if key in (r.task_key, r.id)], limit)


@mutant("x55", "blanks collapsed in keys", clause="KEY-01")
class BlanksCollapsed(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return re.sub(r"\s+", " ", key) == re.sub(r"\s+", " ", wanted)


@mutant("x56", "width ignored in keys", clause="KEY-01")
class WidthIgnored(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return unicodedata.normalize("NFKC", key) == unicodedata.normalize("NFKC", wanted)


@mutant("x57", "control characters stripped from keys", clause="KEY-01")
class ControlsStripped(MemoryMutant):
    def has_key(self, key: str, wanted: str) -> bool:
        return printable(key) == printable(wanted)


@mutant("x159", "NOCASE in SQLite", clause="KEY-01")
class NoCaseInSQLite(SQLStatementMutant):
    def rewrite(self, sql: str) -> str:
        hint = self.dialect.index_hint(self.tables.by_key)
        return sql.replace(hint, "").replace(KEY, f"{KEY} COLLATE NOCASE") if KEY in sql else sql


@mutant("x160", "RTRIM in SQLite", clause="KEY-01")
class TrimmedInSQLite(SQLStatementMutant):
    def rewrite(self, sql: str) -> str:
        hint = self.dialect.index_hint(self.tables.by_key)
        return sql.replace(hint, "").replace(KEY, f"{KEY} COLLATE RTRIM") if KEY in sql else sql


@mutant("x161", "numeric affinity in SQLite", clause="KEY-06")
class NumericKeysInSQLite(SQLStatementMutant):
    def rewrite(self, sql: str) -> str:
        hint = self.dialect.index_hint(self.tables.by_key)
        return sql.replace(hint, "").replace(KEY, "t.task_key + 0 = :key + 0") if KEY in sql else sql


@mutant("x178", "a key that folds case on PostgreSQL", clause="KEY-01", on="postgresql")
class CaseFoldedOnPostgreSQL(SQLStatementMutant):
    replacements = ((KEY, "lower(t.task_key) = lower(:key)"),)


@mutant("x182", "the collation of MariaDB", clause="KEY-01", on="mariadb")
class PaddedOnMariaDB(SQLStatementMutant):
    """Compares by the server's own collation, which ignores case, accents and trailing blanks."""

    def rewrite(self, sql: str) -> str:
        folded = "CONVERT({} USING utf8mb4) COLLATE utf8mb4_general_ci"
        equal = f"{folded.format('t.task_key')} = {folded.format(':key')}"
        return sql.replace(self.dialect.index_hint(self.tables.by_key), "").replace(KEY, equal) if KEY in sql else sql
