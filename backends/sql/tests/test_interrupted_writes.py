"""An interrupted write has ended before the process makes its next write."""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

import pytest
from module_sdk_sql.manager import SQLTaskManager

from module_sdk.backends import Task

SLOW_SECONDS: Final = 0.6
# The server waits before it locks the row, as a busy one does.
SLOW_WRITES: Final = {
    "postgresql": """WITH slow AS MATERIALIZED (SELECT pg_sleep({seconds}))
        UPDATE {table} SET progress = 0.25 FROM slow WHERE id = %s RETURNING id""",
    "mysql": "DO SLEEP({seconds}); UPDATE {table} SET progress = 0.25 WHERE id = %s; SELECT 1; COMMIT",
}


class StopError(Exception):
    """The exception that the handler of a time limit raises."""


@pytest.fixture(params=["postgresql", "mariadb+pymysql"])
def store(request: pytest.FixtureRequest, opener: Callable[..., SQLTaskManager]) -> SQLTaskManager:
    # Not mysqlclient: it waits in C, where no handler runs before the answer has arrived.
    kind = request.param.partition("+")[0]
    url = str(request.getfixturevalue(f"{kind}_url")).replace(f"{kind}:", f"{request.param}:", 1)
    manager = opener(url, namespace=f"w{secrets.token_hex(4)}")
    manager.setup()
    return manager


@pytest.fixture
def interrupt_soon() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise StopError

    earlier = signal.signal(signal.SIGALRM, stop)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, earlier)


@pytest.mark.usefixtures("interrupt_soon")
def test_an_interrupted_write_does_not_undo_a_later_one(store: SQLTaskManager) -> None:
    task, _ = store.create(Task.new(user_id=7, organization_id=3, module="tests"))
    slow = SLOW_WRITES[store.dialect.compiler.name]
    sql = slow.format(table=store.tables.tasks_name, seconds=SLOW_SECONDS)

    # when a write is interrupted while the server works on it, and the next one is made at once
    signal.setitimer(signal.ITIMER_REAL, SLOW_SECONDS / 4)
    with pytest.raises(StopError):
        store.pool.fetch_changed(sql, [task.id], time.monotonic() + 10)
    assert store.update(task.id, progress=0.75)

    # then the store keeps the later one
    time.sleep(2 * SLOW_SECONDS)
    found = store.get(task.id)
    assert found is not None
    assert found.progress == 0.75
