"""The interface of a peer: loading its tasks, and its equivalents of the three lookups."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar, NamedTuple, TypeVar

from benchmarks.data import Argument, Lookup
from module_sdk.domain.task import Task

Item = TypeVar("Item")


class Question(NamedTuple):
    """One call of a peer, and the lookup of ours that it is compared with."""

    call: str
    """As it is written in code."""
    lookup: Lookup
    ask: Callable[[Argument, int], Sequence[object]]
    """Takes the lookup's argument and the organization, and returns what was found."""
    is_indexed: bool
    """Whether the peer has an index for it."""


class Peer(abc.ABC):
    title: ClassVar[str]
    stores: ClassVar[tuple[str, ...]]
    """Our stores that the peer supports."""

    def __init__(self, url: str, folder: str) -> None:
        """`url` names an empty database on a running server, or an SQLite file; `folder` is empty."""
        self.url = url
        self.folder = folder

    @abc.abstractmethod
    def load(self, tasks: Iterable[Task]) -> None:
        """Create the peer's own schema, and fill it."""

    @abc.abstractmethod
    def questions(self) -> list[Question]:
        """Return the calls to be timed."""

    def close(self) -> None:  # noqa: B027  # some have nothing to close
        """Close what is open."""


def scoped(organization: object, text: object) -> str:
    """Return the text with the organization as a prefix."""
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
