"""What an opened manager can do beyond the core contract (DESIGN.md, "Capabilities")."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Capabilities:
    """Fixed once a manager is open; a clause that needs an absent one is *not applicable*."""

    shared: bool = False
    """Several processes see one store."""
    durable: bool = False
    """What was acknowledged survives SIGKILL of client and server."""
    server: bool = False
    """A network server stands behind it, so connecting can hang."""
    explain: bool = False
    """`explain` tells how a lookup is served."""
    bounded: bool = False
    """Every call ends by the deadline it is given, so it may run in the caller's thread."""
    leases: bool = False
    """Active tasks can expire by the store's clock."""
    events: bool = False
    """Changes reach subscribers in other processes."""

    def names(self) -> list[str]:
        """The declared ones, in the order of DESIGN.md."""
        return [field.name for field in dataclasses.fields(self) if getattr(self, field.name)]
