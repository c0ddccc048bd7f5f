"""The table of mutants: the number of the bug in CONTRACT.md, its name, the store that has it, what must kill it.

An `r` marks a bug of the research notes that CONTRACT.md's list has no number for, an `x` a further one.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from tests.mutants import answers, matching, payloads, stores
from tests.mutants.bases import MemoryMutant, Opened, SQLMutant


@dataclasses.dataclass(frozen=True, slots=True)
class Mutant:
    number: str
    name: str
    store: type[Opened]
    clause: str

    @property
    def id(self) -> str:
        """A name for a test: the number, the store and the clause."""
        return f"{self.number}-{self.store.__name__}-{self.clause}"


MUTANTS: Final = tuple(
    Mutant(*row)
    for row in (
        ("1", "LIKE without escaping", matching.LikeWithoutEscaping, "PREFIX-02"),
        ("2", "LIKE folding case", matching.LikeFoldsCase, "PREFIX-03"),
        ("3", "regex not escaped", matching.RegexNotEscaped, "PREFIX-02"),
        ("4", "regex not anchored", matching.RegexNotAnchored, "PREFIX-01"),
        ("5", "glob in MATCH", matching.GlobInMatch, "PREFIX-02"),
        ("6", "one SCAN page taken for all", matching.OneScanPage, "PREFIX-10"),
        ("7", "prefix by segment", matching.PrefixBySegment, "PREFIX-05"),
        ("8", "upper bound prefix + z", matching.UpperBoundZ, "PREFIX-07"),
        ("9", "upper bound prefix + U+FFFF", matching.UpperBoundFFFF, "PREFIX-07"),
        ("10", "empty prefix returns nothing", matching.EmptyPrefixFindsNothing, "PREFIX-04"),
        ("11", "empty prefix returns unkeyed tasks", matching.EmptyPrefixFindsUnkeyed, "PREFIX-04"),
        ("12", "exact key by case-folding collation", matching.KeysFoldCase, "KEY-01"),
        ("13", "trailing blanks ignored", matching.KeysIgnoreTrailingBlanks, "KEY-01"),
        ("14", "NFC normalization on write", matching.KeysNormalizedOnWrite, "KEY-01"),
        ("15", "key truncated to 255", matching.KeysCutAt255, "KEY-04"),
        ("16", "numeric-looking keys coerced", matching.NumericKeysCoerced, "KEY-06"),
        ("17", "None organization means all", matching.NoneMeansAll, "SCOPE-02"),
        ("18", "organization filter missing on prefix only", matching.PrefixForgetsOrganization, "SCOPE-01"),
        ("19", "organization filter missing on user listing only", matching.UserListForgetsOrganization, "SCOPE-01"),
        ("20", "0 treated as None", matching.ZeroIsNone, "SCOPE-05"),
        ("21", "organization compared as text prefix", matching.OrganizationAsPrefix, "SCOPE-01"),
        ("22", "007 equals 7", matching.PaddedOrganizationIsTheNumber, "SCOPE-04"),
        ("23", "joined keys without escaping", matching.JoinedKeys, "SCOPE-06"),
        ("24", "oldest first", answers.OldestFirst, "ORDER-01"),
        ("25", "created_at in milliseconds", answers.TimesInMilliseconds, "ORDER-02"),
        ("26", "created_at in floats", answers.TimesInFloats, "ORDER-07"),
        ("27", "ties by insertion", answers.TiesByInsertion, "ORDER-03"),
        ("28", "ties by id ascending", answers.TiesByIdAscending, "ORDER-03"),
        ("29", "limit before sort", answers.LimitBeforeSort, "ORDER-05"),
        ("30", "order by updated_at", answers.OrderedByUpdate, "ORDER-06"),
        ("31", "limit=0 means no limit", answers.ZeroMeansNoLimit, "ORDER-05"),
        ("32", "batch of 1,000 silently final", answers.BatchIsFinal, "USER-05"),
        ("33", "rows share state with the store", answers.RowsShared, "ROW-05"),
        ("34", "extra field in rows", answers.ExtraField, "ROW-01"),
        ("35", "local time", answers.LocalTime, "ROW-02"),
        ("36", "time text without zero padding", answers.TimeWithoutPadding, "ROW-02"),
        ("37", "big integers as floats", payloads.BigIntegersAsFloats, "ROW-07"),
        ("38", "empty dict comes back as None", payloads.EmptyDictIsNone, "ROW-07"),
        ("39", "dotted keys in payload mangled", payloads.DottedKeysMangled, "ROW-07"),
        ("40", "dedup by check then insert", payloads.CheckThenInsert, "DEDUP-05"),
        ("41", "dedup over finished tasks too", payloads.HeldByEnded, "DEDUP-02"),
        ("42", "dedup ignores organization", payloads.HeldAcrossOrganizations, "SCOPE-12"),
        ("43", "failed does not free the key", payloads.FailedHolds, "DEDUP-02"),
        ("44", "waiting_confirmation does not hold the key", payloads.WaitingDoesNotHold, "DEDUP-02"),
        ("45", "loser gets an id that is not there", payloads.LoserGetsAnUnknownId, "DEDUP-07"),
        ("46", "progress after completion accepted", payloads.ProgressAfterTheEnd, "LIFE-02"),
        ("47", "cancel overwrites completed", payloads.CancelOverwritesCompleted, "LIFE-02"),
        ("48", "checkpoint merged", payloads.CheckpointMerged, "LIFE-08"),
        ("49", "label update erases checkpoint", payloads.LabelErasesCheckpoint, "LIFE-08"),
        ("50", "updated_at goes backwards", payloads.UpdatedAtGoesBack, "LIFE-05"),
        ("51", "update creates missing tasks", payloads.UpdateCreates, "LIFE-10"),
        ("52", "stale snapshot in a long reader", stores.StaleSnapshot, "SEE-02"),
        ("52", "stale snapshot in a long-reading process", stores.StaleSQLSnapshot, "SEE-03"),
        ("53", "commit forgotten until close", stores.CommitForgotten, "SEE-02"),
        ("54", "prune removes running tasks", stores.PruneTakesActive, "KEEP-01"),
        ("54", "prune removes running tasks, racing", stores.PruneTakesActive, "KEEP-04"),
        ("55", "prune leaves index entries", stores.PruneLeavesIndexes, "KEEP-05"),
        ("56", "exception swallowed in the manager", stores.ErrorsSwallowed, "FAIL-02"),
        ("57", "driver error leaks untyped", stores.ErrorsUntyped, "FAIL-09"),
        ("58", "hang on a silent server", stores.HangsOnASilentServer, "FAIL-06"),
        ("59", "cut answer returned as an answer", stores.CutAnswerIsAnAnswer, "FAIL-07"),
        ("60", "unreadable record hides the rest", stores.UnreadableHidesTheRest, "FAIL-10"),
        ("61", "credentials in repr", stores.CredentialsInRepr, "DISC-03"),
        ("62", "two namespaces share an index", stores.NamespacesShareAnIndex, "DISC-05"),
        ("63", "page without tie-break repeats rows", answers.PagesWithoutTieBreak, "ORDER-09"),
        ("64", "total_rows counts outside the scope", answers.CountsOutsideTheScope, "SCOPE-11"),
        ("65", "filter list [] ignored", answers.EmptyListIgnored, "MODEL-03"),
        ("r3", "wildcards escaped, the escape character not", matching.LikeEscapeNotEscaped, "PREFIX-02"),
        ("r5", "regex anchored per line", matching.RegexAnchoredByLine, "PREFIX-02"),
        ("r7", "exact key ignores accents", matching.KeysIgnoreAccents, "KEY-01"),
        ("r12", "key equal to the prefix left out", matching.WholeKeyLeftOut, "PREFIX-01"),
        ("r16", "organization filter missing on the key only", matching.KeyLookupForgetsOrganization, "SCOPE-01"),
        ("r17", "tasks of no organization leak", matching.NoneShowsEverywhere, "SCOPE-03"),
        ("r20", "user matched as a prefix", matching.UserAsPrefix, "USER-02"),
        ("r22", "times cut to seconds", answers.TimesInSeconds, "ORDER-02"),
        ("r25", "sorted by the text of the time", answers.OrderedByTextOfTime, "ORDER-07"),
        ("r29", "a row twice after a scan", matching.RowTwiceAfterAScan, "PREFIX-01"),
        ("r30", "True stored as 1", payloads.TrueIsOne, "ROW-07"),
        ("r32", "falsy payloads dropped", payloads.FalsyDropped, "ROW-07"),
        ("r37", "an interrupted task still blocks its key", payloads.InterruptedHolds, "DEDUP-02"),
        ("r38", "a pending task does not block its key", payloads.PendingDoesNotHold, "DEDUP-02"),
        ("r39", "tasks without a key merge", payloads.UnkeyedMerge, "DEDUP-03"),
        ("r41", "merged submit overwrites the holder", payloads.MergeOverwrites, "DEDUP-01"),
        ("r43", "progress writes the whole row back", payloads.WholeRowWritten, "LIFE-03"),
        ("r43", "an update writes the whole row back", payloads.WholeRowWritten, "LIFE-09"),
        ("r46", "acknowledged before durable", stores.AcknowledgedBeforeDurable, "SEE-05"),
        ("r49", "write error swallowed", stores.WriteErrorsSwallowed, "FAIL-09"),
        ("r51", "prune ignores the scope", stores.PruneForgetsScope, "KEEP-01"),
        ("x1", "status guarded outside the statement", payloads.GuardOutsideTheStatement, "LIFE-03"),
        ("x2", "started_at set again", payloads.StartedAgain, "LIFE-07"),
        ("x3", "payload keys sorted", payloads.KeysSorted, "ROW-07"),
        ("x4", "an import skips held keys", payloads.ImportIgnoresHeldKeys, "DEDUP-09"),
        ("x5", "a key lookup finds None", matching.UnkeyedMatchesNone, "KEY-03"),
        ("x6", "users fold case", matching.UserFoldsCase, "USER-03"),
        ("x7", "a user list matches organizations", matching.UserIsOrganization, "USER-06"),
        ("x8", "progress 1.0 comes back as 1", answers.ProgressAsInteger, "ROW-03"),
        ("x9", "user ids come back as text", answers.IdsAsText, "ROW-08"),
        ("x10", "emoji replaced by question marks", answers.LabelWithoutAstral, "ROW-04"),
        ("x11", "contains folds case", answers.ContainsFoldsCase, "MODEL-05"),
        ("x12", "time ranges closed at the end", answers.RangeClosed, "MODEL-06"),
        ("x13", "driver's error lost", stores.CauseLost, "FAIL-09"),
        ("x14", "unreadable records count for the limit", stores.UnreadableTakesAPlace, "FAIL-10"),
        ("x15", "prune in one go", stores.PruneInOneGo, "KEEP-03"),
        ("x16", "a closed manager still answers", stores.UsableAfterClose, "DISC-06"),
        ("x18", "prefix bound by the next character", matching.UpperBoundByNextCharacter, "PREFIX-06"),
        ("x19", "prefixes compared in NFC", matching.PrefixComposed, "PREFIX-08"),
        ("x20", "an impossible prefix is refused", matching.ImpossiblePrefixRefused, "PREFIX-09"),
        ("x21", "quotes doubled in keys", matching.QuotesDoubled, "KEY-02"),
        ("x22", "only the latest run of a key", matching.LatestRunOnly, "KEY-05"),
        ("x23", "a key lookup finds ids", matching.KeyMatchesIds, "KEY-07"),
        ("x24", "a user list of active tasks only", matching.UserListOfActive, "USER-01"),
        ("x25", "wrong types coerced to text", matching.WrongTypesCoerced, "SCOPE-07"),
        ("x26", "order of arrival", answers.ArrivalOrder, "ORDER-04"),
        ("x27", "time never goes back", answers.TimeNeverGoesBack, "ORDER-08"),
        ("x28", "only the first filter counts", answers.FirstFilterOnly, "MODEL-02"),
        ("x29", "a filter for None ignored", answers.NoneFiltersNothing, "MODEL-04"),
        ("x30", "counts capped", answers.CountIsCapped, "MODEL-07"),
        ("x31", "a page past the end repeats the last", answers.LastPageForever, "MODEL-08"),
        ("x32", "pages by creation", answers.PagesByCreation, "MODEL-09"),
        ("x33", "look-alike keys hold each other", payloads.HeldByLookAlikes, "DEDUP-04"),
        ("x34", "an interrupted holder keeps its key", payloads.InterruptedHolds, "DEDUP-10"),
        ("x35", "the key is freed after the acknowledgement", payloads.KeyFreedLater, "DEDUP-08"),
        ("x36", "a repeated create is told it lost", payloads.SameIdIsALoss, "DEDUP-11"),
        ("x37", "every move from an active state is legal", payloads.AnyMoveIsLegal, "LIFE-01"),
        ("x38", "an update moves created_at", payloads.UpdateMovesCreation, "LIFE-06"),
        ("x39", "reads cached for 5 ms", stores.ReadsItsWritesLater, "SEE-01"),
        ("x40", "checkpoints lost with the process", stores.PayloadsNotKept, "SEE-04"),
        ("x41", "check then insert between processes", stores.CheckThenInsertInSQL, "DEDUP-06"),
        ("x42", "a newer schema is used all the same", stores.NewerSchemaAccepted, "SEE-06"),
        ("x43", "a lock lost in fork", stores.LockLostInFork, "SEE-07"),
        ("x44", "broken for ever after one failure", stores.BrokenForEver, "FAIL-08"),
        ("x45", "a descriptor leaks at each failure", stores.LeaksDescriptors, "FAIL-13"),
        ("x46", "a dead server is an empty one", stores.DeadServerIsEmpty, "FAIL-05"),
        ("x47", "pruned tasks stay in a list", stores.PruneLeavesUserList, "KEEP-02"),
        ("x17", "setup empties the store", stores.SetupEmptiesTheStore, "DISC-04"),
    )
)  # fmt: skip
CONTROLS: Final = (MemoryMutant, stores.SharedMemory, stores.MemoryBehindAServer, SQLMutant)
"""The stores that the mutants are made of, without a bug."""
STORES: Final[tuple[type[Opened], ...]] = tuple(dict.fromkeys((*(mutant.store for mutant in MUTANTS), *CONTROLS)))


def clauses_named(store: type[Opened]) -> set[str]:
    """The clauses that must kill the store; for a control, that it must pass: those of the stores made of it."""
    return {
        mutant.clause
        for mutant in MUTANTS
        if mutant.store is store or (store in CONTROLS and issubclass(mutant.store, store))
    }


def opener_of(store: type[Opened]) -> str:
    return f"{store.__module__}:{store.__name__}.open"
