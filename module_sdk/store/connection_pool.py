"""A bounded pool of connections that waits by the deadline of each call, and that no interrupt uses up.

The connection of a call that was interrupted is not used again as it is: an answer may still be on its way, and would
be taken for that of the next call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from module_sdk.errors import TaskBackendError, TaskBackendUnavailableError
from module_sdk.store.slots import Place, Places

Result = TypeVar("Result")


class Link(Protocol):
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


AnyLink = TypeVar("AnyLink", bound=Link)


class Pool(Generic[AnyLink]):
    """At most so many connections, each of which belongs to a place; the one used last is handed out first.

    `with pool.link(deadline) as link:` is how to use one. A call that is made very often writes out what that does:

        place = pool.take(deadline)
        try:
            rows = place.link.fetch(…)
            place.is_settled = True
            return rows
        except BaseException as error:
            pool.failed(place, error)
            raise
        finally:
            place.back(place)
            pool.given()
            del place

    There the place comes back by a single call of C, so that no interrupt can come before it. And an exception that is
    kept keeps its frames, but not the place: otherwise nobody would see that a later call has lost it.
    """

    def __init__(self, number: int, connect: Callable[[float], AnyLink]) -> None:
        self.number = number
        self.connect = connect
        self.is_closed = False
        self.renew_places()

    def renew_places(self) -> None:
        """Begin with no connection at all; also in a forked child."""
        self.places: Places[AnyLink] = Places(self.number)

    @property
    def members(self) -> list[AnyLink]:
        """All open connections, idle or in use."""
        return self.places.links

    def take(self, deadline: float) -> Place[AnyLink]:
        """A place with a connection that is ready. Raises what connecting raises, and `TaskBackendUnavailableError`."""
        place = self.places.take(deadline)
        if place is None:
            raise TaskBackendUnavailableError(f"all {self.number} connections were busy until the deadline")
        try:
            link = place.link
            if link is None or not place.is_settled or not link.is_current():
                self.prepare(place, deadline)
            place.is_settled = False
            return place
        except BaseException:
            place.back(place)
            self.given()
            raise

    def prepare(self, place: Place[AnyLink], deadline: float) -> None:
        """Bring the place a connection: its own if that can be saved, else a new one."""
        link = place.link
        if link is not None and (place.is_settled or not link.recover(None) or not link.is_current()):
            place.is_settled = False
            self.drop(place)
        if self.is_closed:
            raise TaskBackendError("the task manager is closed")
        if place.link is None:
            place.keep(self.connect(deadline))
            place.back = self.places.stock.append

    def given(self) -> None:
        """After a place has come back: wake a thread that waits for it, and close its connection if the pool is."""
        self.places.given()
        if self.is_closed:
            self.close_idle()

    def failed(self, place: Place[AnyLink], error: BaseException) -> bool:
        """After a call has raised `error`: whether its connection stays."""
        link = place.link
        if link is None:
            return False
        if link.recover(error):
            link.was_used = place.is_settled = True
            return True
        self.drop(place)
        return False

    def drop(self, place: Place[AnyLink]) -> None:
        """Close the connection of a place."""
        # Taken last from now on: other places may still have one.
        place.back = self.places.stock.appendleft
        if place.link is not None:
            place.link.close()
            place.keep(None)

    def run(self, work: Callable[[AnyLink], Result], deadline: float) -> Result:
        """What `work` returns for a connection."""
        place = self.take(deadline)
        try:
            link: AnyLink = place.link  # type: ignore[assignment]  # `take` has brought one
            result = work(link)
            link.was_used = place.is_settled = True
            return result
        except BaseException as error:
            self.failed(place, error)
            raise
        finally:
            place.back(place)
            self.given()
            del place

    def link(self, deadline: float) -> Loan[AnyLink]:
        """A connection, for the body of a `with`."""
        return Loan(self, deadline)

    def close(self) -> None:
        """Close what is idle now; what is in use is closed when it comes back."""
        self.is_closed = True
        self.close_idle()

    def close_idle(self) -> None:
        for _ in range(len(self.places.stock)):
            place = self.places.take_free()
            if place is None:  # another thread has taken the rest
                break
            try:
                self.drop(place)
            finally:
                place.back(place)
        self.places.given()


class Loan(Generic[AnyLink]):
    """A connection, from the beginning of a `with` to its end."""

    __slots__ = ("deadline", "place", "pool")

    def __init__(self, pool: Pool[AnyLink], deadline: float) -> None:
        self.pool = pool
        self.deadline = deadline

    def __enter__(self) -> AnyLink:
        self.place = self.pool.take(self.deadline)
        return self.place.link  # type: ignore[return-value]  # as in `run`

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        place = self.place
        try:
            if error is None:
                if place.link is not None:
                    place.link.was_used = True
                place.is_settled = True
            else:
                self.pool.failed(place, error)
        finally:
            place.back(place)
            del self.place
            self.pool.given()
            del place
