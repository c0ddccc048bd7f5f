"""The meaning of the driver's errors."""

from __future__ import annotations

from typing import Final

from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    OperationFailure,
    ProtocolError,
    PyMongoError,
    WriteConcernError,
)

UNAUTHORIZED: Final = 13
# AuthenticationFailed, and its equivalent on a hosted MongoDB.
WRONG_CREDENTIALS: Final = (18, 8000)
# NamespaceNotFound: https://www.mongodb.com/docs/manual/reference/error-codes/
NO_COLLECTION: Final = 26
# In the text of a BadValue: the collection was dropped, or created again by an insert, so its indexes are missing.
NO_INDEX: Final = "hint provided does not correspond to an existing index"
# In the text of a BadValue; this error has no code of its own.
NO_JOURNAL: Final = "does not have journaling enabled"


def is_unavailable(error: Exception) -> bool:
    """Return whether the store is away or late: no primary, connection, complete answer or majority in time."""
    if isinstance(error, ConfigurationError):
        # The driver resolves the name of a mongodb+srv URL, and wraps a failure in this error.
        return error.__cause__ is not None
    if isinstance(error, ConnectionFailure | ProtocolError | WriteConcernError):
        return True
    if isinstance(error, BulkWriteError) and lacks_majority(error):
        return True
    return isinstance(error, PyMongoError) and (error.timeout or error.has_error_label("RetryableWriteError"))


def is_missing_schema(error: Exception) -> bool:
    """Return whether a collection or its indexes are missing."""
    if isinstance(error, BulkWriteError) or not isinstance(error, OperationFailure):
        return False
    return error.code == NO_COLLECTION or NO_INDEX in str(error)


def lacks_majority(error: BulkWriteError) -> bool:
    """Return whether the documents that were inserted may be lost again."""
    return bool(error.details.get("writeConcernErrors"))


def setup_fault(error: Exception, database: str) -> str | None:
    """Return what the operator must correct, or `None` if the error is not a setup fault."""
    if not isinstance(error, OperationFailure):
        return None
    if error.code in WRONG_CREDENTIALS:
        return "the server refuses the user or the password"
    if NO_JOURNAL in str(error):
        return "the server keeps no journal, so it may lose acknowledged writes: start it with a journal"
    if error.code == UNAUTHORIZED:
        return (
            "the user lacks a right that the store needs; run "
            f'db.grantRolesToUser("<user>", [{{role: "readWrite", db: "{database}"}}])'
        )
    return None
