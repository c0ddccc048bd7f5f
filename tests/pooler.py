"""PgBouncer before a PostgreSQL of the tests, with so few connections that its clients must share them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from tests.server_process import on_path
from tests.servers import PASSWORD, USER, PostgreSQL


class PgBouncer(PostgreSQL):
    """Its first option is the URL of the PostgreSQL; the others are settings, such as `pool_mode=session`."""

    title = "PgBouncer"
    variable = ""
    remedy = "apt-get install pgbouncer"

    @classmethod
    def find_binary(cls) -> Path | None:
        return on_path("pgbouncer")

    def prepare(self) -> None:
        server, *settings = self.options
        (self.folder / "users.txt").write_text(f'"{USER}" "{PASSWORD}"\n')
        self.lead_to(urlsplit(server).port or 5432, *settings)

    def lead_to(self, port: int, *settings: str) -> None:
        """Write the configuration; a pooler that runs takes it over with RELOAD."""
        chosen = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": "users.txt",
            "admin_users": USER,
            "pool_mode": "transaction",
            "default_pool_size": "3",
            "max_client_conn": "500",
            "server_login_retry": "0.2",
            "ignore_startup_parameters": "extra_float_digits",
        } | dict(setting.split("=", 1) for setting in settings)
        lines = [f"{name} = {value}" for name, value in chosen.items()]
        databases = f"[databases]\n* = host=127.0.0.1 port={port}\n"
        (self.folder / "pgbouncer.ini").write_text("\n".join([databases, "[pgbouncer]", *lines, ""]))

    def command(self) -> Sequence[str | Path]:
        return [self.binary, "pgbouncer.ini"]
