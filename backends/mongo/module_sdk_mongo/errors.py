"""The driver's errors, sorted by what they mean to the caller."""

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
# AuthenticationFailed, and the same of a hosted MongoDB.
WRONG_CREDENTIALS: Final = (18, 8000)
# NamespaceNotFound: https://www.mongodb.com/docs/manual/reference/error-codes/
NO_COLLECTION: Final = 26
# In the text of a BadValue: the collection has been dropped, or made again by an insert, and its indexes are gone.
NO_INDEX: Final = "hint provided does not correspond to an existing index"
# In the text of a BadValue; it has no code of its own.
NO_JOURNAL: Final = "does not have journaling enabled"


def is_unavailable(error: Exception) -> bool:
    """Whether the store is away or late: no primary, no connection, no whole answer or no majority in time."""
    if isinstance(error, ConfigurationError):
        # The name of a mongodb+srv URL is looked up by the driver, and a failure wrapped like this.
        return error.__cause__ is not None
    if isinstance(error, ConnectionFailure | ProtocolError | WriteConcernError):
        return True
    if isinstance(error, BulkWriteError) and lacks_majority(error):
        return True
    return isinstance(error, PyMongoError) and (error.timeout or error.has_error_label("RetryableWriteError"))


def is_missing_schema(error: Exception) -> bool:
    """Whether a collection or its indexes are gone."""
    if isinstance(error, BulkWriteError) or not isinstance(error, OperationFailure):
        return False
    return error.code == NO_COLLECTION or NO_INDEX in str(error)


def lacks_majority(error: BulkWriteError) -> bool:
    """Whether what did go in may be lost again."""
    return bool(error.details.get("writeConcernErrors"))


def configuration_fault(error: Exception, database: str) -> str | None:
    """What is wrong with the settings, if an error of opening comes from them."""
    if not isinstance(error, OperationFailure):
        return None
    if error.code in WRONG_CREDENTIALS:
        return "the server refuses the user or the password"
    if NO_JOURNAL in str(error):
        return "the server keeps no journal, so nothing that it acknowledges is safe: start it with one"
    if error.code == UNAUTHORIZED:
        return (
            "the user may not do what the store needs; run "
            f'db.grantRolesToUser("<user>", [{{role: "readWrite", db: "{database}"}}])'
        )
    return None
