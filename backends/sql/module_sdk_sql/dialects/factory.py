"""The choice of the dialect for a URL. Only the driver of the chosen dialect is imported."""

from __future__ import annotations

from typing import Final

from module_sdk.backends import ConfigurationError, ManagerOptions, StoreURL
from module_sdk_sql.dialects.base import Dialect
from module_sdk_sql.options import SQLiteOptions, parse_url

POSTGRESQL_SCHEMES: Final = ("postgresql", "postgres")
MYSQL_SCHEMES: Final = ("mysql", "mariadb")


def choose_dialect(url: StoreURL, options: ManagerOptions) -> Dialect:
    """Return the dialect of the URL. Raises `ConfigurationError` for a bad URL or option and for a missing driver."""
    parsed = parse_url(url)
    if url.scheme == "sqlite":
        from module_sdk_sql.dialects.sqlite.dialect import SQLiteDialect  # noqa: PLC0415  # only the chosen one is loaded

        return SQLiteDialect(SQLiteOptions.parse(url, parsed, options), options.max_connections)
    try:
        if url.scheme in POSTGRESQL_SCHEMES:
            refuse_driver(url, ("psycopg",))
            from module_sdk_sql.dialects.postgresql.dialect import PostgreSQLDialect  # noqa: PLC0415  # only the chosen one

            return PostgreSQLDialect(url, parsed, options)
        if url.scheme in MYSQL_SCHEMES:
            refuse_driver(url, ("pymysql", "mysqldb"))
            from module_sdk_sql.dialects.mariadb.dialect import MariaDBDialect  # noqa: PLC0415  # only the chosen one

            return MariaDBDialect(parsed, options)
    except ImportError as error:
        extra = "postgres" if url.scheme in POSTGRESQL_SCHEMES else "mysql"
        raise ConfigurationError(
            f"{url.scheme}:// needs a driver that is not installed ({error}): pip install 'module-sdk[{extra}]'"
        ) from error
    raise ConfigurationError(f"the SQL backend does not serve {url.scheme}://")


def refuse_driver(url: StoreURL, known: tuple[str, ...]) -> None:
    """Raise `ConfigurationError` if the URL is `scheme+driver://` with a driver that is not `known`."""
    driver = url.text.partition(":")[0].partition("+")[2]
    if driver and driver not in known:
        raise ConfigurationError(f"{url.scheme}:// is served by {' or '.join(known)}, not by {driver}")
