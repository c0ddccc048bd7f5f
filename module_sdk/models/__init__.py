"""The read model of task state, for monitoring screens."""

from __future__ import annotations

from typing import Final

from module_sdk.models.read_model import BackgroundTasks

background_tasks: Final = BackgroundTasks()

__all__ = ["BackgroundTasks", "background_tasks"]
