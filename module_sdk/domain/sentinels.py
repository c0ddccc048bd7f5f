"""Values that mean "not given", for arguments where `None` has a meaning of its own."""

from __future__ import annotations

import enum
from typing import Final


class Anything(enum.Enum):
    ANY = "any"

    def __repr__(self) -> str:
        return "ANY"


class Unset(enum.Enum):
    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


ANY: Final = Anything.ANY
"""Every organization (or user): said by operators and maintenance, never by a lookup."""

UNSET: Final = Unset.UNSET
"""Leave the field as it is."""
