"""Servers of the system that use TLS, and a Redis among them with users of few rights."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import trustme
from module_sdk_redis.errors import RIGHTS

from devtools.servers.kinds import PASSWORD, USER, ICUPostgreSQL, MariaDB, Valkey
from devtools.servers.process import Server, on_path

AUTHORITY: Final = "authority.pem"
CERTIFICATE: Final = "server.pem"
"""The server's certificate and its key."""

USERS: Final = {
    "default": "~* &* +@all",
    USER: f"~{{*}}:* {RIGHTS}",
    "quiet": f"~{{*}}:* {RIGHTS} -info -config",
    "reader": "~{*}:* +get +ping",
}


def certify(server: Server) -> None:
    """Write a certificate, and that of the authority that signed it, to the server's folder."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(server.folder / AUTHORITY))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(server.folder / CERTIFICATE))
    # PostgreSQL refuses a key that other users may read.
    (server.folder / CERTIFICATE).chmod(0o600)
    if server.identity:
        for name in (AUTHORITY, CERTIFICATE):
            shutil.chown(server.folder / name, server.identity["user"], server.identity["group"])


def authority_of(server: Server) -> str:
    """Return the path of the authority's certificate, quoted for a URL."""
    return quote(str(server.folder / AUTHORITY), safe="")


class PostgreSQLOverTLS(ICUPostgreSQL):
    def prepare(self) -> None:
        super().prepare()
        certify(self)

    def command(self) -> Sequence[str | Path]:
        certificate = self.folder / CERTIFICATE
        return [*super().command(), "--ssl=on", f"--ssl_cert_file={certificate}", f"--ssl_key_file={certificate}"]


class MariaDBOverTLS(MariaDB):
    variable = ""

    def prepare(self) -> None:
        super().prepare()
        certify(self)

    def command(self) -> Sequence[str | Path]:
        files = {"ca": AUTHORITY, "cert": CERTIFICATE, "key": CERTIFICATE}
        tls = [f"--ssl-{name}={self.folder / file}" for name, file in files.items()]
        return [*super().command(), *tls, "--require-secure-transport=ON"]


class RedisOverTLS(Valkey):
    """A Redis server. The user of `url` has exactly the rights that our error messages ask for."""

    title = "Redis over TLS"
    variable = ""
    remedy = "apt-get install redis-server"

    @classmethod
    def find_binary(cls) -> Path | None:
        return on_path("redis-server")

    def prepare(self) -> None:
        certify(self)
        lines = (f"user {name} on >{PASSWORD} {rights}\n" for name, rights in USERS.items())
        (self.folder / "users.acl").write_text("".join(lines))

    def command(self) -> Sequence[str | Path]:
        address = ["--bind", "127.0.0.1", "--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
        files = {"cert": CERTIFICATE, "key": CERTIFICATE, "ca-cert": AUTHORITY}
        tls = [part for name, file in files.items() for part in (f"--tls-{name}-file", file)]
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        return [self.binary, *address, *tls, "--aclfile", "users.acl", *durable]

    def url_of(self, user: str) -> str:
        login = f"{user}:{quote(PASSWORD, safe='')}"
        return f"rediss://{login}@127.0.0.1:{self.port}/0?ssl_ca_certs={authority_of(self)}"

    @property
    def base_url(self) -> str:
        return self.url_of(USER)

    @classmethod
    def create_database(cls, url: str) -> str:
        """Return the URL, whose database is new: its user must not even count keys."""
        return url
