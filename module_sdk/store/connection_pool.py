"""A bounded pool of connections that waits by the deadline of each call, and that no interrupt uses up.

The connection of a call that was interrupted is not used again as it is: an answer may still be on its way, and would
be taken for that of the next call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from module_sdk.errors import TaskBackendError, TaskBackendUnavailableError
from module_sdk.store.slots import Slot, SlotPool

Result = TypeVar("Result")


class Connection(Protocol):
    """What a pool asks of a connection."""

    was_used: bool
    """Whether it has served a call before, so that the server may have gone since."""

    def is_current(self) -> bool:
        """Whether an idle connection still leads to the store, as far as that can be told without a trip there."""

    def recover(self, error: BaseException | None) -> bool:
        """Undo what is open after `error`; whether the connection can serve another call.

        `None` stands for an interrupt that came where nothing could be noticed: nothing is known of the connection.
        """

    def close(self) -> None:
        """Give the connection back to the operating system. Never raises an error, and may be called again."""


AnyConnection = TypeVar("AnyConnection", bound=Connection)


class ConnectionPool(Generic[AnyConnection]):
    """At most so many connections, each of which belongs to a slot; the one used last is handed out first.

    `with pool.connection(deadline) as connection:` is how to use one. A call that is made very often writes out
    what that does:

        slot = pool.take(deadline)
        try:
            rows = slot.item.fetch(…)
            slot.is_settled = True
            return rows
        except BaseException as error:
            pool.failed(slot, error)
            raise
        finally:
            slot.back(slot)
            pool.given()
            del slot

    There the slot comes back by a single call of C, so that no interrupt can come before it. And an exception that is
    kept keeps its frames, but not the slot: otherwise nobody would see that a later call has lost it.
    """

    def __init__(self, number: int, connect: Callable[[float], AnyConnection]) -> None:
        self.number = number
        self.connect = connect
        self.is_closed = False
        self.renew_slots()

    def renew_slots(self) -> None:
        """Begin with no connection at all; also in a forked child."""
        self.slots: SlotPool[AnyConnection] = SlotPool(self.number)

    @property
    def members(self) -> list[AnyConnection]:
        """All open connections, idle or in use."""
        return self.slots.items

    def take(self, deadline: float) -> Slot[AnyConnection]:
        """A slot with a connection that is ready. Raises what connecting raises, and `TaskBackendUnavailableError`."""
        slot = self.slots.take(deadline)
        if slot is None:
            raise TaskBackendUnavailableError(f"all {self.number} connections were busy until the deadline")
        try:
            connection = slot.item
            if connection is None or not slot.is_settled or not connection.is_current():
                self.prepare(slot, deadline)
            slot.is_settled = False
            return slot
        except BaseException:
            slot.back(slot)
            self.given()
            raise

    def prepare(self, slot: Slot[AnyConnection], deadline: float) -> None:
        """Bring the slot a connection: its own if that can be saved, else a new one."""
        connection = slot.item
        if connection is not None and (slot.is_settled or not connection.recover(None) or not connection.is_current()):
            slot.is_settled = False
            self.drop(slot)
        if self.is_closed:
            raise TaskBackendError("the task manager is closed")
        if slot.item is None:
            slot.keep(self.connect(deadline))
            slot.back = self.slots.stock.append

    def given(self) -> None:
        """After a slot has come back: wake a thread that waits for it, and close its connection if the pool is."""
        self.slots.given()
        if self.is_closed:
            self.close_idle()

    def failed(self, slot: Slot[AnyConnection], error: BaseException) -> bool:
        """After a call has raised `error`: whether its connection stays."""
        connection = slot.item
        if connection is None:
            return False
        if connection.recover(error):
            connection.was_used = slot.is_settled = True
            return True
        self.drop(slot)
        return False

    def drop(self, slot: Slot[AnyConnection]) -> None:
        """Close the connection of a slot."""
        # Taken last from now on: other slots may still have one.
        slot.back = self.slots.stock.appendleft
        if slot.item is not None:
            slot.item.close()
            slot.keep(None)

    def run(self, work: Callable[[AnyConnection], Result], deadline: float) -> Result:
        """What `work` returns for a connection."""
        slot = self.take(deadline)
        try:
            connection: AnyConnection = slot.item  # type: ignore[assignment]  # `take` has brought one
            result = work(connection)
            connection.was_used = slot.is_settled = True
            return result
        except BaseException as error:
            self.failed(slot, error)
            raise
        finally:
            slot.back(slot)
            self.given()
            del slot

    def connection(self, deadline: float) -> Checkout[AnyConnection]:
        """A connection, for the body of a `with`."""
        return Checkout(self, deadline)

    def close(self) -> None:
        """Close what is idle now; what is in use is closed when it comes back."""
        self.is_closed = True
        self.close_idle()

    def close_idle(self) -> None:
        for _ in range(len(self.slots.stock)):
            slot = self.slots.take_free()
            if slot is None:  # another thread has taken the rest
                break
            try:
                self.drop(slot)
            finally:
                slot.back(slot)
        self.slots.given()


class Checkout(Generic[AnyConnection]):
    """A connection, from the beginning of a `with` to its end."""

    __slots__ = ("deadline", "pool", "slot")

    def __init__(self, pool: ConnectionPool[AnyConnection], deadline: float) -> None:
        self.pool = pool
        self.deadline = deadline

    def __enter__(self) -> AnyConnection:
        self.slot = self.pool.take(self.deadline)
        return self.slot.item  # type: ignore[return-value]  # as in `run`

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        slot = self.slot
        try:
            if error is None:
                if slot.item is not None:
                    slot.item.was_used = True
                slot.is_settled = True
            else:
                self.pool.failed(slot, error)
        finally:
            slot.back(slot)
            del self.slot
            self.pool.given()
            del slot
