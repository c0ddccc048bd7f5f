"""The system's Redis, which speaks TLS alone and knows users of few rights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import trustme
from module_sdk_redis.errors import RIGHTS

from tests.server_process import on_path
from tests.servers import PASSWORD, USER, Valkey

USERS: Final = {
    "default": "~* &* +@all",
    USER: f"~{{*}}:* {RIGHTS}",
    "quiet": f"~{{*}}:* {RIGHTS} -info -config",
    "reader": "~{*}:* +get +ping",
}


class RedisOverTLS(Valkey):
    """`url` is of a user with the rights that our errors ask for, and no more."""

    title = "Redis over TLS"
    variable = ""
    remedy = "apt-get install redis-server"

    @classmethod
    def find_binary(cls) -> Path | None:
        return on_path("redis-server")

    def prepare(self) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        authority.cert_pem.write_to_path(str(self.authority))
        certificate.private_key_and_cert_chain_pem.write_to_path(str(self.folder / "server.pem"))
        lines = (f"user {name} on >{PASSWORD} {rights}\n" for name, rights in USERS.items())
        (self.folder / "users.acl").write_text("".join(lines))

    def command(self) -> Sequence[str | Path]:
        address = ["--bind", "127.0.0.1", "--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no"]
        files = {"cert": "server.pem", "key": "server.pem", "ca-cert": self.authority.name}
        tls = [part for name, file in files.items() for part in (f"--tls-{name}-file", file)]
        return [self.binary, *address, *tls, "--aclfile", "users.acl", "--appendonly", "yes", "--save", ""]

    @property
    def authority(self) -> Path:
        """The certificate that signed the server's."""
        return self.folder / "authority.pem"

    def url_of(self, user: str) -> str:
        login = f"{user}:{quote(PASSWORD, safe='')}"
        return f"rediss://{login}@127.0.0.1:{self.port}/0?ssl_ca_certs={quote(str(self.authority))}"

    @property
    def base_url(self) -> str:
        return self.url_of(USER)

    @classmethod
    def create_database(cls, url: str) -> str:
        """The one of the URL, which is empty: whose user may not even count its keys."""
        return url
