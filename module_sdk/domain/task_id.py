"""The id that a submission of work returns. It also says whether the call created the task."""

from __future__ import annotations

from typing import Self


class TaskId(str):
    """The id of a task. It compares, hashes and prints like the same `str`.

    `created` is false if an active task already had the key. Then no work was started and the id is that task's
    (DEDUP-01).
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
