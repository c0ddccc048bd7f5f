"""PostgreSQL and MariaDB over TLS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest
import trustme
from module_sdk_sql.manager import SQLTaskManager

from devtools.servers.process import Server
from devtools.servers.tls import MariaDBOverTLS, PostgreSQLOverTLS, authority_of
from module_sdk.backends import ConfigurationError, Task
from tests.support.fixtures import running

Opener = Callable[..., SQLTaskManager]
TaskMaker = Callable[..., Task]

IS_ENCRYPTED: Final = {
    "postgresql": "SELECT 1 FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl",
    "mariadb": "SELECT 1 FROM information_schema.session_status "
    "WHERE variable_name = 'Ssl_version' AND variable_value LIKE 'TLS%%'",
}


@pytest.fixture(scope="module", params=[PostgreSQLOverTLS, MariaDBOverTLS], ids=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param) as server:
        yield server


def trusting(server: Server, authority: str) -> str:
    is_postgresql = isinstance(server, PostgreSQLOverTLS)
    option = f"sslmode=verify-full&sslrootcert={authority}" if is_postgresql else f"ssl_ca={authority}"
    return f"{server.url}?{option}"


def test_a_trusted_connection_is_encrypted(server: Server, opener: Opener, new_task: TaskMaker) -> None:
    manager = opener(trusting(server, authority_of(server)))
    task, created = manager.create(new_task(task_key="job"))
    assert created
    assert manager.get_tasks_by_key("job", 7) == [task.to_row()]
    assert manager.pool.fetch(IS_ENCRYPTED[manager.url.scheme], (), manager.deadline(None)) != []


def test_an_unknown_authority_is_a_configuration_error(server: Server, opener: Opener, tmp_path: Path) -> None:
    untrusted = tmp_path / "untrusted.pem"
    trustme.CA().cert_pem.write_to_path(str(untrusted))
    with pytest.raises(ConfigurationError, match="certificate is not trusted"):
        opener(trusting(server, quote(str(untrusted), safe=""))).count()
