"""Correct stores in Redis, whose scripts and commands can be changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from module_sdk_redis import scripts
from module_sdk_redis.manager import RedisTaskManager
from module_sdk_redis.scripts import Script

from module_sdk.backends import ManagerOptions
from tests.mutants.stores.opening import Opened


class RedisMutant(Opened, RedisTaskManager):
    """A correct store in Redis, with `replacements` for parts of its scripts."""

    replacements: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        if self.replacements:
            run = self.router.run
            all_scripts = [script for script in vars(scripts).values() if isinstance(script, Script)]
            # If a script was rewritten and a text is no longer found, the mutant would be a correct store.
            assert all(any(old in script.text for script in all_scripts) for old, _ in self.replacements)
            changed = {script: rewritten(script, self.replacements) for script in all_scripts}
            self.router.run = lambda script, *args, **kwargs: run(changed[script], *args, **kwargs)  # type: ignore[method-assign]


def rewritten(script: Script, replacements: tuple[tuple[str, str], ...]) -> Script:
    changed = Script.__new__(Script)
    changed.text = script.text
    for old, new in replacements:
        changed.text = changed.text.replace(old, new)
    changed.digest = hashlib.sha1(changed.text.encode(), usedforsecurity=False).hexdigest()
    return changed


class ChangedCalls(RedisMutant):
    """A store that calls `run` for each script and `command` for each command.

    Their first argument is the method of the router that they replace.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        run, call = self.router.run, self.router.call
        vars(self.router)["run"] = lambda *args, **kwargs: self.run(run, *args, **kwargs)
        vars(self.router)["call"] = lambda *args, **kwargs: self.command(call, *args, **kwargs)

    def run(self, original: Callable[..., Any], script: Script, *args: Any, **kwargs: Any) -> Any:
        return original(script, *args, **kwargs)

    def command(self, original: Callable[..., Any], command: Sequence[Any], deadline: float, **kwargs: Any) -> Any:
        return original(command, deadline, **kwargs)
