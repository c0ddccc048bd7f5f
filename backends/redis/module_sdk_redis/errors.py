"""What a driver's error means."""

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

# A server that answers but cannot serve: of ours, or of a cluster's, state that passes.
PASSING_STATES: Final = ("NOREPLICAS", "BUSY ", "READONLY", "MASTERDOWN", "LOADING", "CLUSTERDOWN")
# What a script gets from a key that is on its way to another node; nothing was written before it.
ON_ITS_WAY: Final = "non local key"
# Of these only doctor and the check for durability want the last line, and only a cluster the one before it.
RIGHTS: Final = (
    "+get +set +mget +exists +unlink +del +hset +hsetnx +hdel +hgetall +zadd +zrem +zrange +zcard "
    "+eval +evalsha +ping +role +time +select "
    "+asking +cluster|slots "
    "+info +config|get"
)
# What scripts answer, and reads find, where the marker of the schema is gone.
NO_SCHEMA: Final = "NOSCHEMA"
WRONG_DATABASE: Final = ("DB index is out of range", "SELECT is not allowed in cluster mode")


def no_schema() -> ResponseError:
    return ResponseError(f"{NO_SCHEMA} the store has no schema")


def is_slot_moving(error: Exception) -> bool:
    """Whether a cluster is moving the slot, so that its keys lie on two nodes."""
    return isinstance(error, TryAgainError) or ON_ITS_WAY in str(error)


def is_unavailable(error: Exception) -> bool:
    """Whether the server is away, late, or in a state that passes."""
    if isinstance(error, AuthenticationError | AuthorizationError):
        return False
    kinds = (ConnectionError, TimeoutError, InvalidResponse, ReadOnlyError, ClusterError, AskError, OSError)
    return isinstance(error, kinds) or is_slot_moving(error) or any(state in str(error) for state in PASSING_STATES)


def configuration_fault(error: Exception, namespace: str) -> str | None:
    """What must be set right before the store can be used; `None` if the error is no matter of configuration."""
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
