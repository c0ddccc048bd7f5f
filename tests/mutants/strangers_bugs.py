"""Bugs that strangers tried the suite with, in their order: their numbers begin at s1 and never change."""

from __future__ import annotations

from typing import Final

from module_sdk.backends import TaskManager
from tests.mutants import (
    facades,
    strangers_in_mongo,
    strangers_in_redis,
    strangers_in_sql,
    strangers_reading,
    strangers_second_in_sql,
    strangers_writing,
)

ROWS: Final[tuple[tuple[str, type[TaskManager], str] | tuple[str, type[TaskManager], str, str], ...]] = (
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
    ("a prune ends where a thousand stay", strangers_in_redis.PruneStopsAtAQuietChunk, "KEEP-01"),
    ("payloads cleared only where none is set", strangers_in_redis.SetsOrClears, "LIFE-08"),
    ("a ping that is content with an idle connection", strangers_in_redis.PingWithoutATrip, "DISC-07"),
    ("a read that timed out is tried again", strangers_in_redis.ReadsTriedAfterTheDeadline, "FAIL-06"),
    ("a socket waits as long as the options say", strangers_in_redis.SocketTimeoutOfTheOptions, "FAIL-06"),
    ("scripts loaded at opening only", strangers_in_redis.ScriptsLoadedAtOpening, "SEE-08"),
    ("unreadable only without ten fields", strangers_in_redis.OnlyFieldsCounted, "FAIL-10"),
    ("an import goes on with the next chunk", strangers_in_redis.ImportGoesOnWithTheNextChunk, "DEDUP-09"),
    ("any duplicate of an import is a held key", strangers_in_mongo.RacingImportRefused, "DEDUP-09"),
    ("a count by estimate", strangers_in_mongo.EstimatedCount, "SEE-08"),
    ("explain says nothing", strangers_in_mongo.ExplainsNothing, "PREFIX-11"),
    ("pages without a deadline", strangers_in_mongo.PagesWithoutDeadline, "FAIL-06"),
    ("namespaces cut at 20 characters", strangers_second_in_sql.NamespaceCut, "DISC-05", "postgresql"),
    ("explain gives estimates", strangers_second_in_sql.EstimatesExplained, "PREFIX-11", "postgresql"),
    ("an import in one statement", strangers_second_in_sql.ImportInOneStatement, "BAD-01", "mariadb"),
    ("progress kept in memory", strangers_second_in_sql.ProgressWrittenLater, "SEE-04"),
    ("no time left is any error", strangers_second_in_sql.NoTimeLeftUntyped, "FAIL-09"),
    ("a create in two commits", strangers_second_in_sql.CreateInTwoCommits, "SEE-07"),
    ("payloads of the first 500 pruned", strangers_second_in_sql.PrunedPayloadsUpTo500, "KEEP-01"),
    ("payloads of 64 KiB", strangers_second_in_sql.PayloadsOf64KiB, "BAD-01"),
    ("the cause of opening lost", strangers_second_in_sql.CauseOfOpeningLost, "DISC-07"),
    ("async twins drop the organization", facades.TwinsForgetTheOrganization, "FAIL-12"),
    ("the number of skipped rows lost", facades.SkippedForgotten, "FAIL-10"),
)  # fmt: skip
"""Name, store, the clause that must kill it, and the database where that is not the store's own."""
RACES: Final = frozenset(
    {
        "PagesIterateLive", "RowsFetchedAfterIds", "OffsetBatches", "PruneCountsSelected", "RowReadAfterUpdate",
        "ImportDeferred", "UpdateInTwoSteps", "GetInTwoSteps", "RacingImportRefused", "CreateInTwoCommits",
    }
)  # fmt: skip
"""The stores whose bug shows only when two calls meet."""
