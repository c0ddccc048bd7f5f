"""Tasks from the fields that a test names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from module_sdk.backends import Task


def task_of(fields: Mapping[str, Any]) -> Task:
    """Return a task of module-sdk, with the reference's defaults."""
    return Task(**{"module": "contract", "label": "Background Task", "user_id": 1, **fields})
