"""Options of a URL that its driver does not accept are refused when they are configured, not at the first use."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

import module_sdk
from module_sdk import TaskManager, open_manager
from module_sdk.backends import ConfigurationError, TaskBackendUnavailableError

Opener = Callable[..., TaskManager]

# No server listens on this port.
POSTGRESQL: Final = "postgresql://user:zQ7@127.0.0.1:1/db"
PYMYSQL: Final = "mysql+pymysql://user:zQ7@127.0.0.1:1/db"
MYSQLCLIENT: Final = "mysql+mysqldb://user:zQ7@127.0.0.1:1/db"
MONGODB: Final = "mongodb://user:zQ7@127.0.0.1:1/db"
REDIS: Final = "redis://:zQ7@127.0.0.1:1/0"
REDIS_OVER_TLS: Final = "rediss://:zQ7@127.0.0.1:1/0"

REFUSED: Final = {
    POSTGRESQL: (
        "prepare_threshold=often",
        "prepare_threshold=-1",
        "autocommit=false",
        "autocommit=perhaps",
        "pooler=perhaps",
        "pooler=true&pooler=false",
        "client_encoding=latin1",
        "connect_timeout=soon",
        "keepalives_idle=long",
        "tcp_user_timeout=1.5",
        "row_factory=dict",
        "cursor_factory=x",
        "context=x",
        "unheard_of=1",
        "sslmode=perhaps",
        "channel_binding=perhaps",
        "target_session_attrs=perhaps",
        "load_balance_hosts=perhaps",
        "host=one:5432&host=two:x",
    ),
    PYMYSQL: (
        "autocommit=0",
        "charset=latin1",
        "connect_timeout=soon",
        "read_timeout=soon",
        "max_allowed_packet=large",
        "ssl_disabled=perhaps",
        "ssl_ca=/nowhere.pem",
        "cursorclass=x",
        "conv=x",
        "defer_connect=1",
        "use_unicode=0",
        "compress=1",
        "prepare_threshold=1",
        "unheard_of=1",
    ),
    MYSQLCLIENT: (
        "autocommit=0",
        "charset=latin1",
        "connect_timeout=soon",
        "local_infile=perhaps",
        "ssl_mode=perhaps",
        "client_flag=x",
        "cursorclass=x",
        "program_name=x",
        "unheard_of=1",
    ),
    MONGODB: (
        "autocommit=true",
        "maxPoolSize=many",
        "directConnection=perhaps",
        "serverSelectionTimeoutMS=-5",
        "readPreference=perhaps",
        "document_class=dict",
        "prepare_threshold=1",
        "unheard_of=1",
    ),
    REDIS: ("autocommit=true", "decode_responses=true", "socket_timeout=5", "socket_timeout=soon", "unheard_of=1"),
    REDIS_OVER_TLS: ("ssl_cert_reqs=perhaps", "unheard_of=1"),
}
ACCEPTED: Final = {
    POSTGRESQL: (
        "prepare_threshold=0",
        "prepare_threshold=5",
        "prepare_threshold=none",
        "prepare_threshold=None",
        "autocommit=true",
        "pooler=true",
        "pooler=false",
        "pooler=auto",
        "client_encoding=utf8",
        "connect_timeout=3",
        "keepalives_idle=30",
        "application_name=shop",
        "target_session_attrs=any",
        "sslmode=prefer",
    ),
    PYMYSQL: (
        "autocommit=true",
        "charset=utf8mb4",
        "connect_timeout=5",
        "read_timeout=5",
        "max_allowed_packet=1000000",
        "ssl_disabled=true",
        "ssl_verify_cert=false",
        "program_name=shop",
    ),
    MYSQLCLIENT: ("autocommit=true", "charset=utf8mb4", "connect_timeout=5", "read_timeout=5"),
    MONGODB: ("maxPoolSize=5", "directConnection=true", "appName=shop", "connectTimeoutMS=500"),
    REDIS: (),
    REDIS_OVER_TLS: ("ssl_cert_reqs=none", "ssl_check_hostname=false"),
}


def urls(table: dict[str, tuple[str, ...]]) -> list[str]:
    is_installed = importlib.util.find_spec("MySQLdb") is not None
    return [
        f"{url}?{query}" for url, queries in table.items() if url != MYSQLCLIENT or is_installed for query in queries
    ]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    module_sdk.reset()


@pytest.mark.filterwarnings("default:Unknown option")
@pytest.mark.parametrize("url", urls(REFUSED))
def test_an_option_that_the_driver_does_not_accept_is_refused_when_it_is_configured(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        module_sdk.configure(url=url)
    # The error names the option and shows no value, whether secret or not.
    name, _, value = url.partition("?")[2].rpartition("=")
    assert name.partition("=")[0] in str(raised.value) or "cannot be read" in str(raised.value)
    assert "zQ7" not in str(raised.value)
    if len(value) > len("false"):
        assert value not in str(raised.value).replace("cannot be read", "")
    with pytest.raises(ConfigurationError):
        open_manager(url)


@pytest.mark.parametrize("url", urls(ACCEPTED))
def test_an_accepted_option_lets_the_manager_connect_to_the_server(url: str, opened: Opener) -> None:
    with pytest.raises(TaskBackendUnavailableError):
        opened(url, timeout_seconds=0.5).ping()


@pytest.mark.parametrize("query", ACCEPTED[POSTGRESQL])
def test_postgresql_works_with_each_accepted_option(
    query: str, postgresql_url: str, opened: Opener, namespace: str
) -> None:
    assert opened(f"{postgresql_url}?{query}", namespace=namespace).count() == 0


@pytest.mark.parametrize(("url", "query"), [(url, query) for url in (PYMYSQL, MYSQLCLIENT) for query in ACCEPTED[url]])
def test_mariadb_works_with_each_accepted_option(
    url: str, query: str, mariadb_url: str, opened: Opener, namespace: str
) -> None:
    driver = url.partition(":")[0].partition("+")[2]
    if driver == "mysqldb":
        pytest.importorskip("MySQLdb", reason="mysqlclient needs a compiler")
    url_of_server = mariadb_url.replace("mariadb:", f"mariadb+{driver}:")
    assert opened(f"{url_of_server}?{query}", namespace=namespace).count() == 0


@pytest.mark.parametrize(
    ("url", "options"),
    [
        (POSTGRESQL, {"pooler": "perhaps"}),
        (POSTGRESQL, {"unheard_of": "zQ7"}),
        (PYMYSQL, {"autocommit": False}),
        (PYMYSQL, {"unheard_of": "zQ7"}),
        (MONGODB, {"unheard_of": "zQ7"}),
        (REDIS, {"unheard_of": "zQ7"}),
        (REDIS_OVER_TLS, {"ssl_cert_reqs": "perhaps"}),
    ],
)
def test_a_bad_option_of_the_manager_is_refused_when_it_is_opened(url: str, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        open_manager(url, **options)
    assert next(iter(options)) in str(raised.value)
    assert "zQ7" not in str(raised.value)


def test_prepare_threshold_none_in_the_url_turns_prepared_statements_off(
    postgresql_url: str, opened: Opener, namespace: str
) -> None:
    for value, is_prepared in (("none", False), ("0", True)):
        manager: Any = opened(f"{postgresql_url}?prepare_threshold={value}", namespace=namespace)
        for _ in range(5):
            manager.get_tasks_by_key("job", 7)
        query = "SELECT 1 FROM pg_prepared_statements"
        assert bool(manager.pool.fetch(query, (), manager.deadline(None))) is is_prepared


def test_the_part_of_a_password_after_a_question_mark_is_not_shown_as_an_option_name() -> None:
    with pytest.raises(ConfigurationError) as raised:
        open_manager("mongodb://user:12?zQ7=x@host/db")
    assert "zQ7" not in str(raised.value)
