"""A forked child keeps no connection of its parent open, so that the server notices when the parent ends."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from urllib.parse import urlsplit

import psutil
import pytest
from module_sdk_sql.manager import SQLTaskManager


@pytest.mark.parametrize("scheme", ["postgresql", "mariadb+pymysql"])
def test_a_forked_child_has_no_connection_to_the_server(
    request: pytest.FixtureRequest, opener: Callable[..., SQLTaskManager], scheme: str
) -> None:
    kind = scheme.partition("+")[0]
    url = str(request.getfixturevalue(f"{kind}_url")).replace(f"{kind}:", f"{scheme}:", 1)
    manager = opener(url, namespace=f"i{secrets.token_hex(4)}")
    manager.setup()
    port = urlsplit(url).port

    def connections() -> int:
        return sum(bool(found.raddr) and found.raddr.port == port for found in psutil.Process().net_connections())

    assert connections() > 0
    child = os.fork()
    if child == 0:
        os._exit(connections())

    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
