"""A PostgreSQL that follows another one of the tests, until it is promoted."""

from __future__ import annotations

from urllib.parse import urlsplit

from devtools.servers.kinds import PASSWORD, USER, PostgreSQL


class Standby(PostgreSQL):
    """Its first option is the URL of the primary; `url` is that database here."""

    title = "standby of PostgreSQL"
    variable = ""

    def __init__(self, primary: str, *options: str) -> None:
        super().__init__(*options)
        self.primary = primary

    def prepare(self) -> None:
        self.make_executable()
        place = urlsplit(self.primary)
        login = f"host=127.0.0.1 port={place.port} user={USER} password='{PASSWORD}'"
        copy = self.binary.with_name("pg_basebackup")
        self.run(copy, "-d", login, "-D", "data", "--write-recovery-conf", "--checkpoint=fast", "--no-sync")

    def create_database(self, url: str) -> str:  # type: ignore[override]  # a standby cannot, and has the primary's
        return urlsplit(url)._replace(path=urlsplit(self.primary).path).geturl()

    def promote(self) -> None:
        """Return when it takes writes."""
        self.run(self.binary.with_name("pg_ctl"), "promote", "-D", "data", "-w")
