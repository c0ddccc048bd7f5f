"""The meaning of redis-py's errors."""

from __future__ import annotations

from typing import Final

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    ClusterError,
    ConnectionError,  # noqa: A004  # redis-py's
    InvalidResponse,
    NoPermissionError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,  # noqa: A004  # redis-py's
    TryAgainError,
)

# In the errors of a server or cluster that answers, but temporarily cannot serve.
TEMPORARY_ERRORS: Final = ("NOREPLICAS", "BUSY ", "READONLY", "MASTERDOWN", "LOADING", "CLUSTERDOWN")
# In the error of a script that needs a key which moves to another node. The script has written nothing by then.
NON_LOCAL_KEY: Final = "non local key"
# Only doctor and the check for durability need the last line, and only a cluster needs the one before it.
RIGHTS: Final = (
    "+get +set +mget +exists +unlink +del +hset +hsetnx +hdel +hgetall +zadd +zrem +zrange +zcard "
    "+eval +evalsha +ping +role +time +select "
    "+asking +cluster|slots "
    "+info +config|get"
)
# The error code of scripts, and of `no_schema`, if the schema marker is missing.
NO_SCHEMA: Final = "NOSCHEMA"
WRONG_DATABASE: Final = ("DB index is out of range", "SELECT is not allowed in cluster mode")


def no_schema() -> ResponseError:
    return ResponseError(f"{NO_SCHEMA} the store has no schema")


def is_slot_moving(error: Exception) -> bool:
    """Return whether a cluster is moving the hash slot, so that its keys are on two nodes."""
    return isinstance(error, TryAgainError) or NON_LOCAL_KEY in str(error)


def is_unavailable(error: Exception) -> bool:
    """Return whether the server is away, late or temporarily unable to serve."""
    if isinstance(error, AuthenticationError | AuthorizationError):
        return False
    kinds = (ConnectionError, TimeoutError, InvalidResponse, ReadOnlyError, ClusterError, AskError, OSError)
    return isinstance(error, kinds) or is_slot_moving(error) or any(state in str(error) for state in TEMPORARY_ERRORS)


def setup_fault(error: Exception, namespace: str) -> str | None:
    """Return what the operator must correct, or `None` if the error is not a setup fault."""
    text = str(error)
    if isinstance(error, AuthenticationError | AuthorizationError):
        return "the server refuses the user name or the password"
    if isinstance(error, NoPermissionError):
        return f"the user lacks a right: run ACL SETUSER <user> ~{{{namespace}}}:* {RIGHTS}"
    if any(sign in text for sign in WRONG_DATABASE):
        return "the server has no such database (a cluster has only 0)"
    if "certificate verify failed" in text:
        return "the server's certificate is not trusted"
    return None
