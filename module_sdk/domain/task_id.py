"""What submitting work returns: the id of a task, which also knows whether the call created that task."""

from __future__ import annotations

from typing import Self


class TaskId(str):
    """An id, with all that a `str` does: it is equal to the same text, hashes alike, and is written as it is.

    `created` is false if an active task held the key: then nothing was started, and the id is that task's (DEDUP-01).
    """

    __slots__ = ("created",)
    created: bool

    def __new__(cls, text: str, *, created: bool) -> Self:
        self = super().__new__(cls, text)
        self.created = created
        return self

    def __reduce__(self) -> tuple[object, tuple[str, bool]]:
        return restored, (str(self), self.created)


def restored(text: str, created: bool) -> TaskId:
    return TaskId(text, created=created)
