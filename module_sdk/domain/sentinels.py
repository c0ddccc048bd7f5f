"""Default values for arguments in which `None` has a meaning."""

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
"""Every organization (or user). Operators and maintenance use it; a lookup never does."""

UNSET: Final = Unset.UNSET
"""Leave the field as it is."""
