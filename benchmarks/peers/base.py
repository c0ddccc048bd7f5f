"""What a peer brings: its tasks, and its ways to answer the three lookups."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar, NamedTuple, TypeVar

from benchmarks.data import Argument, Lookup
from module_sdk.domain.task import Task

Item = TypeVar("Item")


class Question(NamedTuple):
    """One call of a peer, and the lookup of ours that it stands beside."""

    call: str
    """As it is written."""
    lookup: Lookup
    ask: Callable[[Argument, int], Sequence[object]]
    """Takes the lookup's argument and the organization; gives what was found."""
    is_indexed: bool
    """Whether the peer has an index for it."""


class Peer(abc.ABC):
    title: ClassVar[str]
    stores: ClassVar[tuple[str, ...]]
    """Of ours, those it can run on too."""

    def __init__(self, url: str, folder: str) -> None:
        """`url` is that of an empty database on a running server, or an SQLite file's; `folder` is empty."""
        self.url = url
        self.folder = folder

    @abc.abstractmethod
    def load(self, tasks: Iterable[Task]) -> None:
        """Make the peer's own schema, and fill it."""

    @abc.abstractmethod
    def questions(self) -> list[Question]:
        """What can be asked."""

    def close(self) -> None:  # noqa: B027  # some hold nothing open
        """Give back what is open."""


def scoped(organization: object, text: object) -> str:
    """The organization as a part of the text."""
    return f"{organization}_{text}"


def chunks(items: Iterable[Item], size: int = 5_000) -> Iterator[list[Item]]:
    chunk: list[Item] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
