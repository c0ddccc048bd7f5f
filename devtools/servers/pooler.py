"""PgBouncer in front of a PostgreSQL server, with so few connections that its clients must share them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg

from devtools.servers.kinds import PostgreSQL
from devtools.servers.process import on_path


class PgBouncer(PostgreSQL):
    """A pooler. The first option is the URL of the PostgreSQL server, the others are settings (`pool_mode=session`)."""

    title = "PgBouncer"
    variable = ""
    remedy = "apt-get install pgbouncer"

    @classmethod
    def find_binary(cls) -> Path | None:
        return on_path("pgbouncer")

    def prepare(self) -> None:
        self.write_configuration(*self.options)

    def write_configuration(self, server: str, *settings: str) -> None:
        """Write the configuration for a server; a running pooler reads it again on RELOAD."""
        chosen = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": "users.txt",
            "admin_users": unquote(urlsplit(server).username or ""),
            "pool_mode": "transaction",
            "default_pool_size": "3",
            "max_client_conn": "500",
            "server_login_retry": "0.2",
        } | dict(setting.split("=", 1) for setting in settings)
        parts = urlsplit(server)
        lines = ["[databases]", f"* = host={parts.hostname} port={parts.port or 5432}", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in chosen.items()]
        (self.folder / "pgbouncer.ini").write_text("\n".join([*lines, ""]))
        user, password = (unquote(part or "").replace('"', '""') for part in (parts.username, parts.password))
        (self.folder / "users.txt").write_text(f'"{user}" "{password}"\n')

    def command(self) -> Sequence[str | Path]:
        return [self.binary, "pgbouncer.ini"]

    @property
    def base_url(self) -> str:
        server = urlsplit(self.options[0])
        login = server.netloc.rpartition("@")[0]
        return server._replace(netloc=f"{login}@127.0.0.1:{self.port}", path="/postgres").geturl()

    def reload(self, server: str, *settings: str) -> None:
        """Switch to another server; the connections of the clients stay open."""
        self.write_configuration(server, *settings)
        # The console of PgBouncer supports only the simple query protocol.
        admin = urlsplit(self.base_url)._replace(path="/pgbouncer").geturl()
        with psycopg.connect(admin, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
            connection.execute("RELOAD")
