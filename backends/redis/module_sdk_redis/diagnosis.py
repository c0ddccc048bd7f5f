"""Facts about a server, and warnings about settings that weaken a promise."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

from redis.exceptions import ResponseError

from module_sdk.backends import Diagnosis, clock_difference
from module_sdk_redis.connection import UNKNOWN_COMMAND
from module_sdk_redis.routing import Router

OLDEST_VERSION: Final = (6, 2)
UNKNOWN: Final = "unknown"
ALWAYS: Final = "always"
# The losses that are possible with each value of `appendfsync` except `always`.
LOSSES: Final = {
    "everysec": "a power failure loses the tasks acknowledged in the last second or two, and so does a crash of the "
    "server while its disk is busy",
    "no": "a power failure loses the tasks acknowledged since the system last wrote to the disk, half a minute or more",
}
MICROSECONDS: Final = 1_000_000

Facts = dict[str, str]


def read_information(router: Router, deadline: float) -> Facts:
    """Return the fields of INFO, or none if the user may not run it."""
    try:
        reply: bytes = router.read("INFO", deadline=deadline)
    except ResponseError:
        return {}
    pairs = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in pairs if colon}


def read_setting(router: Router, name: str, deadline: float) -> str:
    """Return the value of a setting, or `unknown` if CONFIG is forbidden, as on most hosted servers."""
    try:
        reply: list[bytes] = router.read("CONFIG", "GET", name, deadline=deadline)
    except ResponseError:
        return UNKNOWN
    return reply[1].decode() if reply else UNKNOWN


def read_role(router: Router, deadline: float) -> str:
    """Return `master`, or `unknown` if the service has no ROLE command.

    Raises redis-py's errors for a replica and for a missing right.
    """
    try:
        reply: list[bytes] = router.read("ROLE", deadline=deadline)
    except ResponseError as error:
        if UNKNOWN_COMMAND not in str(error):
            raise
        return UNKNOWN
    return reply[0].decode()


def is_too_old(information: Facts) -> bool:
    parts = information.get("redis_version", "").split(".")[:2]
    return all(part.isdigit() for part in parts) and tuple(map(int, parts)) < OLDEST_VERSION


def is_durable(router: Router, information: Facts, deadline: float) -> bool:
    """Return whether each write is on disk before it is acknowledged; false also if that is unknown.

    With `everysec`, a server whose disk is busy keeps writes in memory for up to two seconds after acknowledging them.
    """
    return information.get("aof_enabled") == "1" and read_setting(router, "appendfsync", deadline) == ALWAYS


def diagnose(router: Router, clock: Callable[[], int], schema: str, deadline: float) -> Diagnosis:
    information = read_information(router, deadline)
    role = read_role(router, deadline)
    flavour = information.get("server_name", "redis")
    facts = {
        "server": f"{flavour} {information.get(f'{flavour}_version', information.get('redis_version', UNKNOWN))}",
        "driver": f"redis-py {version('redis')}",
        "mode": information.get("redis_mode") or information.get("server_mode") or UNKNOWN,
        "role": role,
        "schema version": schema,
        "appendonly": {"1": "yes", "0": "no"}.get(information.get("aof_enabled", ""), UNKNOWN),
        "appendfsync": read_setting(router, "appendfsync", deadline),
        "no-appendfsync-on-rewrite": read_setting(router, "no-appendfsync-on-rewrite", deadline),
        "maxmemory-policy": information.get("maxmemory_policy") or read_setting(router, "maxmemory-policy", deadline),
    }
    warnings = [*settings_warnings(facts), *topology_warnings(facts, information)]
    return Diagnosis(facts, warnings, seconds_ahead(router, clock, deadline))


def seconds_ahead(router: Router, clock: Callable[[], int], deadline: float) -> float:
    """Return the seconds by which the server's clock is ahead of `clock`, negative if it is behind."""
    before = clock()
    reply: list[Any] = router.read("TIME", deadline=deadline)
    server = int(reply[0]) * MICROSECONDS + int(reply[1])
    return clock_difference(server / MICROSECONDS, before / MICROSECONDS, clock() / MICROSECONDS)


def settings_warnings(facts: Facts) -> list[str]:
    warnings = []
    if facts["appendonly"] == UNKNOWN:
        warnings.append("the user may not ask whether an append-only file is kept, so the store counts as not durable")
    elif facts["appendonly"] == "no":
        warnings.append(
            "appendonly is off: tasks that were acknowledged since the last snapshot are lost when the server stops"
        )
    elif facts["appendfsync"] == UNKNOWN:
        warnings.append(
            "the user may not ask for appendfsync, which decides what a crash or a power failure loses, so the store "
            "counts as not durable"
        )
    elif facts["appendfsync"] != ALWAYS:
        loss = LOSSES.get(facts["appendfsync"], "a power failure loses tasks that were acknowledged")
        warnings.append(f"appendfsync is {facts['appendfsync']!r}, not 'always': {loss}")
    elif facts["no-appendfsync-on-rewrite"] == "yes":
        warnings.append(
            "no-appendfsync-on-rewrite is on: a power failure while the append-only file is rewritten loses the tasks "
            "acknowledged meanwhile"
        )
    if facts["maxmemory-policy"] == UNKNOWN:
        warnings.append("the user may not ask for maxmemory-policy; anything but 'noeviction' makes tasks vanish")
    elif facts["maxmemory-policy"] != "noeviction":
        warnings.append(f"maxmemory-policy is {facts['maxmemory-policy']!r}, not 'noeviction': tasks may vanish")
    return warnings


def topology_warnings(facts: Facts, information: Facts) -> list[str]:
    warnings = []
    if facts["role"] == UNKNOWN:
        warnings.append("the server has no ROLE command: if it is demoted to a replica, it keeps returning old data")
    if facts["mode"] == "cluster" or information.get("connected_slaves", "0") != "0":
        warnings.append("replicas follow asynchronously: a failover may lose tasks that were acknowledged")
    return warnings
