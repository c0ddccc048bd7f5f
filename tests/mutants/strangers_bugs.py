"""Bugs that a stranger tried the suite with, in his order: their numbers begin at s1 and never change."""

from __future__ import annotations

from typing import Final

from module_sdk.backends import TaskManager
from tests.mutants import strangers_in_sql, strangers_reading, strangers_writing

ROWS: Final[tuple[tuple[str, type[TaskManager], str], ...]] = (
    ("a create looks for the holder before the id", strangers_writing.HolderBeforeId, "DEDUP-11"),
    ("an import looks for the holder before the id", strangers_writing.ImportHolderBeforeId, "DEDUP-09"),
    ("an import looks for holders once, before it writes", strangers_writing.ImportChecksUpFront, "DEDUP-09"),
    ("the loser is given the holder as it was created", strangers_writing.StaleHolder, "DEDUP-01"),
    ("a repeated create is given the task as it was created", strangers_writing.RepeatGivesFirst, "DEDUP-11"),
    ("a get by id folds the case of organizations", strangers_reading.IdFoldsOrganization, "SCOPE-11"),
    ("the limit of a prune before its scope", strangers_writing.PruneLimitBeforeScope, "KEEP-01"),
    ("the limit of a prune before the status", strangers_writing.PruneLimitBeforeStatus, "KEEP-01"),
    ("the user of a prune as a prefix", strangers_writing.PruneUserAsPrefix, "KEEP-01"),
    ("a cache that a prune does not empty", strangers_writing.GetCachedPastPrune, "KEEP-02"),
    ("pages sort created_at in floats", strangers_reading.PagesCreatedInFloats, "ORDER-07"),
    ("time ranges in floats", strangers_reading.TimeFiltersInFloats, "ORDER-07"),
    (r"a prefix quoted by \Q and \E", strangers_reading.PrefixQuotedByQE, "PREFIX-02"),
    ("wildcards escaped by #, # by nothing", strangers_reading.LikeEscapedByHash, "PREFIX-02"),
    ("limits of 32 bits", strangers_reading.LimitInt32, "ORDER-05"),
    ("offsets of 32 bits", strangers_reading.OffsetInt32, "MODEL-08"),
    ("parts of an id asked of no field", strangers_reading.IdFieldNotMapped, "MODEL-05"),
    ("pages cross namespaces", strangers_reading.PagesCrossNamespaces, "DISC-05"),
    ("pages walk records without the lock", strangers_reading.PagesIterateLive, "SEE-07"),
    ("rows fetched after their ids", strangers_reading.RowsFetchedAfterIds, "SEE-07"),
    ("a lookup in batches by offset", strangers_reading.OffsetBatches, "SEE-07"),
    ("a snapshot of each thread", strangers_reading.ThreadLocalReads, "SEE-07"),
    ("an import by check then insert", strangers_writing.ImportCheckThenInsert, "DEDUP-09"),
    ("a batch with the columns of its first record", strangers_writing.ImportColumnsOfFirst, "ROW-07"),
    ("a prune counts what it selected", strangers_writing.PruneCountsSelected, "KEEP-04"),
    ("the row of an update read after it", strangers_writing.RowReadAfterUpdate, "KEEP-04"),
    ("an import leaves out the index of statuses", strangers_writing.ImportNotIndexedByStatus, "MODEL-02"),
    ("a get that binds id and organization swapped", strangers_in_sql.GetScopedSwapped, "SCOPE-11"),
    ("an update that binds id and organization swapped", strangers_in_sql.UpdateScopedSwapped, "SCOPE-11"),
    ("an OR without parentheses", strangers_in_sql.NoParentheses, "MODEL-03"),
    ("a parameter for each value of a list", strangers_in_sql.ParameterPerValue, "MODEL-03"),
    ("an import in a deferred transaction", strangers_in_sql.ImportDeferred, "DEDUP-09"),
    ("the loser of a key leaves its payloads", strangers_in_sql.LoserLeavesPayloads, "DEDUP-02"),
    ("payloads lost before a held key", strangers_in_sql.ImportFallbackLosesPayloads, "DEDUP-09"),
    ("arguments lost with the process", strangers_in_sql.ArgumentsNotKept, "SEE-04"),
    ("an index of users lost with the process", strangers_in_sql.UserIndexNotRebuilt, "SEE-04"),
    ("unknown ids remembered", strangers_in_sql.UnknownIdRemembered, "SEE-02"),
    ("pages and counts remembered", strangers_in_sql.PagesRemembered, "SEE-02"),
    ("closing one manager closes others", strangers_in_sql.ClosingOneClosesOthers, "DISC-06"),
    ("an update in two steps", strangers_in_sql.UpdateInTwoSteps, "LIFE-03"),
    ("a get in two steps", strangers_in_sql.GetInTwoSteps, "LIFE-03"),
    ("a rollback forgotten", strangers_in_sql.RollbackForgotten, "DEDUP-09"),
)  # fmt: skip
"""Name, store, and the clause that must kill it."""
RACES: Final = frozenset(
    {
        "PagesIterateLive", "RowsFetchedAfterIds", "OffsetBatches", "PruneCountsSelected", "RowReadAfterUpdate",
        "ImportDeferred", "UpdateInTwoSteps", "GetInTwoSteps",
    }
)  # fmt: skip
"""The stores whose bug shows only when two calls meet."""
