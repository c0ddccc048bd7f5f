"""Real sentinels that watch a primary and its replicas."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import quote

import redis

from devtools.servers.kinds import PASSWORD, Valkey
from devtools.servers.process import Server
from devtools.servers.redis_cluster import wait_until
from devtools.servers.tls import AUTHORITY, CERTIFICATE, RedisOverTLS

SERVICE: Final = "tasks"
SENTINEL_PASSWORD: Final = "s@nt:in/el%"
WATCHER: Final = "watcher"
"""The user of sentinels and replicas on every server. Without it, a server is cut off from them, not from clients."""
DOWN_AFTER_MILLISECONDS: Final = 1_000
FAILOVER_MILLISECONDS: Final = 5_000
# Sentinels ask replicas every ten seconds, and may take longer to turn an old primary into a replica.
SETTLED_SECONDS: Final = 90


class Watched(Valkey):
    """A server that may be a primary or a replica."""

    def command(self) -> Sequence[str | Path]:
        replication = ["--masteruser", WATCHER, "--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0"]
        return [*super().command(), *replication, "--user", WATCHER, "on", f">{PASSWORD}", "~*", "&*", "+@all"]

    def ask(self, *command: Any) -> Any:
        with redis.Redis.from_url(self.base_url, decode_responses=True, protocol=2, socket_timeout=5) as client:
            return client.execute_command(*command)

    def isolate(self) -> None:
        """Cut the server off from sentinels and replicas, but not from clients."""
        self.ask("ACL", "SETUSER", WATCHER, "off")
        self.ask("CLIENT", "KILL", "USER", WATCHER)

    def rejoin(self) -> None:
        self.ask("ACL", "SETUSER", WATCHER, "on")


class Sentinel(Valkey):
    title = "Sentinel"
    variable = ""
    tls: Sequence[str] = ()
    user: ClassVar[str] = WATCHER

    def __init__(self, primary: Server, quorum: int = 2) -> None:
        super().__init__()
        self.primary = primary
        self.quorum = quorum

    def prepare(self) -> None:
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f'requirepass "{SENTINEL_PASSWORD}"',
            f'sentinel sentinel-pass "{SENTINEL_PASSWORD}"',
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.primary.port} {self.quorum}",
            f'sentinel auth-user {SERVICE} "{self.user}"',
            f'sentinel auth-pass {SERVICE} "{PASSWORD}"',
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MILLISECONDS}",
            f"sentinel failover-timeout {SERVICE} {FAILOVER_MILLISECONDS}",
            *self.tls,
        ]
        (self.folder / "sentinel.conf").write_text("\n".join(lines))

    def command(self) -> Sequence[str | Path]:
        return [self.binary, "sentinel.conf", "--sentinel"]

    @property
    def base_url(self) -> str:
        return f"redis://:{quote(SENTINEL_PASSWORD, safe='')}@127.0.0.1:{self.port}"

    @classmethod
    def create_database(cls, url: str) -> str:
        return url

    def ask(self, *command: Any) -> Any:
        with redis.Redis.from_url(self.base_url, decode_responses=True, protocol=2, socket_timeout=5) as client:
            return client.execute_command(*command)


class SentinelOverTLS(Sentinel):
    """A sentinel with the certificate of the primary that it watches."""

    user = "default"
    remedy = RedisOverTLS.remedy

    @classmethod
    def find_binary(cls) -> Path | None:
        return RedisOverTLS.find_binary()

    def prepare(self) -> None:
        folder = self.primary.folder
        files = {"cert": CERTIFICATE, "key": CERTIFICATE, "ca-cert": AUTHORITY}
        self.tls = [
            "port 0",
            f"tls-port {self.port}",
            *(f'tls-{name}-file "{folder / file}"' for name, file in files.items()),
            "tls-auth-clients no",
            "tls-replication yes",
        ]
        super().prepare()

    @property
    def base_url(self) -> str:
        authority = quote(str(self.primary.folder / AUTHORITY), safe="")
        return super().base_url.replace("redis://", "rediss://") + f"?ssl_ca_certs={authority}"


class Deployment:
    """Two servers and their sentinels; the first server is the primary at the start."""

    def __init__(self, servers: list[Watched], sentinels: list[Sentinel]) -> None:
        self.servers = servers
        self.sentinels = sentinels

    @property
    def url(self) -> str:
        """A URL with two of the sentinels, from which clients learn the third."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels[:2])
        passwords = quote(PASSWORD, safe=""), quote(SENTINEL_PASSWORD, safe="")
        return f"redis+sentinel://:{passwords[0]}@{hosts}/{SERVICE}/0?sentinel_password={passwords[1]}"

    def role(self, server: Watched) -> str:
        return str(server.ask("ROLE")[0])

    def primary(self) -> Watched:
        """Return the server that every sentinel names. Raise `RedisError` if they do not agree."""
        ports = {self.named_by(sentinel) for sentinel in self.sentinels}
        if len(ports) != 1:
            raise redis.RedisError("the sentinels name several primaries")
        (port,) = ports
        return next(server for server in self.servers if server.port == port)

    def named_by(self, sentinel: Sentinel) -> int:
        return int(sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def other(self, server: Watched) -> Watched:
        return next(each for each in self.servers if each is not server)

    def settle(self) -> None:
        """Wait until there are one primary, one replica that follows it, and sentinels that know both."""
        wait_until(self.is_settled, SETTLED_SECONDS)

    def is_settled(self) -> bool:
        primary = self.primary()
        replica = self.other(primary).ask("ROLE")
        if self.role(primary) != "master" or replica[0] != "slave" or replica[3] != "connected":
            return False
        return all(self.knows_all(sentinel) for sentinel in self.sentinels)

    def knows_all(self, sentinel: Sentinel) -> bool:
        flat = sentinel.ask("SENTINEL", "MASTER", SERVICE)
        fields = flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
        (replica,) = sentinel.ask("SENTINEL", "REPLICAS", SERVICE)
        state = replica if isinstance(replica, dict) else dict(zip(replica[::2], replica[1::2], strict=True))
        counts = int(fields["num-other-sentinels"]), int(fields["num-slaves"])
        flags = fields["flags"] if isinstance(fields["flags"], str) else ",".join(fields["flags"])
        return counts == (len(self.sentinels) - 1, 1) and flags == "master" and state["master-link-status"] == "ok"


@contextlib.contextmanager
def sentinel_deployment() -> Iterator[Deployment]:
    """Start a primary, a replica and three sentinels, and wait until they can fail over."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Watched()) for _ in range(2)]
        servers[1].ask("REPLICAOF", "127.0.0.1", servers[0].port)
        sentinels = [stack.enter_context(Sentinel(servers[0])) for _ in range(3)]
        made = Deployment(servers, sentinels)
        made.settle()
        yield made
