"""The abilities of an open manager beyond the core contract."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Capabilities:
    """The capabilities that a manager declares. They must not change once it is open.

    A clause that needs an absent capability is *not applicable*.
    """

    shared: bool = False
    """Several processes can use the same store."""
    durable: bool = False
    """Acknowledged writes survive SIGKILL of client and server."""
    server: bool = False
    """The store is a network server, so connecting can hang."""
    explain: bool = False
    """`explain` returns how a lookup is served."""
    bounded: bool = False
    """Every call ends by its deadline, so it may run in the caller's thread."""
    leases: bool = False
    """Active tasks can expire by the store's clock."""
    events: bool = False
    """Changes reach subscribers in other processes."""

    def names(self) -> list[str]:
        """Return the names of the declared capabilities, in the order above."""
        return [field.name for field in dataclasses.fields(self) if getattr(self, field.name)]
