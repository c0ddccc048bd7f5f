"""A PostgreSQL server that follows another one until it is promoted."""

from __future__ import annotations

from urllib.parse import urlsplit

from devtools.servers.kinds import PASSWORD, USER, PostgreSQL


class Standby(PostgreSQL):
    """A standby. Its first argument is the URL of a database on the primary; `url` is the same database here."""

    title = "standby of PostgreSQL"
    variable = ""

    def __init__(self, primary: str, *options: str) -> None:
        super().__init__(*options)
        self.primary = primary

    def prepare(self) -> None:
        self.make_executable()
        port = urlsplit(self.primary).port
        login = f"host=127.0.0.1 port={port} user={USER} password='{PASSWORD}'"
        copy = self.binary.with_name("pg_basebackup")
        self.run(copy, "-d", login, "-D", "data", "--write-recovery-conf", "--checkpoint=fast", "--no-sync")

    def create_database(self, url: str) -> str:  # type: ignore[override]  # a standby has the primary's databases
        return urlsplit(url)._replace(path=urlsplit(self.primary).path).geturl()

    def promote(self) -> None:
        """Make the standby a primary, and wait until it accepts writes."""
        self.run(self.binary.with_name("pg_ctl"), "promote", "-D", "data", "-w")
