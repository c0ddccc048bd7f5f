"""A bounded pool of connections. It respects the deadline of each call, and interrupts cannot exhaust it.

After an interrupted call its connection must not be reused unchanged: the reply may still be in transit, and the next
call would take it for its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from module_sdk.errors import TaskBackendError, TaskBackendUnavailableError
from module_sdk.store.slots import Slot, SlotPool

Result = TypeVar("Result")


class Connection(Protocol):
    """The interface that a pool requires of a connection."""

    was_used: bool
    """Whether the connection has served a call before. If so, the server may have gone away since."""

    def is_current(self) -> bool:
        """Return whether an idle connection still leads to the store, as far as this is known without a round trip."""

    def recover(self, error: BaseException | None) -> bool:
        """Roll back what is open after `error`. Return whether the connection can serve another call.

        `None` means an interrupt that could not be observed: the state of the connection is unknown.
        """

    def close(self) -> None:
        """Release the connection. This must never raise, and may be called again."""


AnyConnection = TypeVar("AnyConnection", bound=Connection)


class ConnectionPool(Generic[AnyConnection]):
    """At most `number` connections, one per slot. The connection used last is reused first.

    Use one in `with pool.connection(deadline) as connection:`. A very frequent call contains the steps of that block
    itself:

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
            pool.announce_return()
            del slot

    There a single call of a C function returns the slot, so that no interrupt can come before it. The `del` matters: an
    exception that is stored keeps its frames alive, and a slot in such a frame would not be destroyed if a later call
    lost it, so the pool would not find out.
    """

    def __init__(self, number: int, connect: Callable[[float], AnyConnection]) -> None:
        self.number = number
        self.connect = connect
        self.is_closed = False
        self.renew_slots()

    def renew_slots(self) -> None:
        """Start with no connection. A forked child needs this too."""
        self.slots: SlotPool[AnyConnection] = SlotPool(self.number)

    @property
    def members(self) -> list[AnyConnection]:
        """All open connections, idle and in use."""
        return self.slots.items

    def take(self, deadline: float) -> Slot[AnyConnection]:
        """Return a slot with a ready connection. Raise `TaskBackendUnavailableError`, or the error of connecting."""
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
            self.announce_return()
            raise

    def prepare(self, slot: Slot[AnyConnection], deadline: float) -> None:
        """Give the slot a usable connection: its own if that can be recovered, else a new one."""
        connection = slot.item
        if connection is not None and (slot.is_settled or not connection.recover(None) or not connection.is_current()):
            slot.is_settled = False
            self.drop(slot)
        if self.is_closed:
            raise TaskBackendError("the task manager is closed")
        if slot.item is None:
            slot.keep(self.connect(deadline))
            slot.back = self.slots.stock.append

    def announce_return(self) -> None:
        """Wake a thread that waits for the returned slot. If the pool is closed, close its connection."""
        self.slots.announce_return()
        if self.is_closed:
            self.close_idle()

    def failed(self, slot: Slot[AnyConnection], error: BaseException) -> bool:
        """Recover or close the connection of a call that raised `error`. Return whether it was kept."""
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
        # From now on this slot is taken last, because other slots may have a connection.
        slot.back = self.slots.stock.appendleft
        if slot.item is not None:
            slot.item.close()
            slot.keep(None)

    def run(self, work: Callable[[AnyConnection], Result], deadline: float) -> Result:
        """Return the result of `work`, called with a connection."""
        slot = self.take(deadline)
        try:
            connection: AnyConnection = slot.item  # type: ignore[assignment]  # `take` has set it
            result = work(connection)
            connection.was_used = slot.is_settled = True
            return result
        except BaseException as error:
            self.failed(slot, error)
            raise
        finally:
            slot.back(slot)
            self.announce_return()
            del slot

    def connection(self, deadline: float) -> Checkout[AnyConnection]:
        """Return a context manager whose value is a connection."""
        return Checkout(self, deadline)

    def close(self) -> None:
        """Close the idle connections now, and each other one when its slot is returned."""
        self.is_closed = True
        self.close_idle()

    def close_idle(self) -> None:
        for _ in range(len(self.slots.stock)):
            slot = self.slots.take_free()
            if slot is None:  # other threads have taken the rest
                break
            try:
                self.drop(slot)
            finally:
                slot.back(slot)
        self.slots.announce_return()


class Checkout(Generic[AnyConnection]):
    """The context manager for one use of a connection."""

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
            self.pool.announce_return()
            del slot
