"""A correct store under a facade with replaceable parts."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, ClassVar, Self
from unittest import mock

from tests.mutants.stores.memory import MemoryMutant

Patch = tuple[str, Any]
"""`module:dotted.name`, and its replacement."""


class PatchedFacade(MemoryMutant):
    """A correct store that replaces parts of `module_sdk` while a manager of the class is open."""

    patches: ClassVar[tuple[Patch, ...]] = ()

    @classmethod
    def open(cls, url: str, **options: Any) -> Self:
        manager = super().open(url, **options)
        manager.patched = []
        for target, replacement in cls.patches:
            module, _, path = target.partition(":")
            owner: Any = importlib.import_module(module)
            *parents, name = path.split(".")
            for parent in parents:
                owner = getattr(owner, parent)
            manager.patched.append(mock.patch.object(owner, name, replacement))
            manager.patched[-1].start()
        return manager

    patched: list[Any]

    def close(self) -> None:
        super().close()
        while self.patched:
            self.patched.pop().stop()


def original(target: str) -> Callable[..., Any]:
    """Return the function or method that `module:dotted.name` means."""
    module, _, path = target.partition(":")
    found: Any = importlib.import_module(module)
    for name in path.split("."):
        found = getattr(found, name)
    return found  # type: ignore[no-any-return]  # any function or method


RECORD = original("module_sdk.facade.lookup_failures:LookupFailures.record")


BURST = original("module_sdk.facade.lookup_failures:LookupFailures.begin_burst")


def ping_no_more(breaker: Any) -> None:
    breaker.stopped.wait(60)
