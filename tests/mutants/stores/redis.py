"""A good store in Redis, whose scripts can have another text."""

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
    """A good store in Redis, whose scripts can have another text."""

    replacements: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init__(self, url: str, options: ManagerOptions) -> None:
        super().__init__(url, options)
        if self.replacements:
            good = self.router.run
            all_scripts = [script for script in vars(scripts).values() if isinstance(script, Script)]
            # Otherwise it would be a good store, once somebody has written the script anew.
            assert all(any(old in script.text for script in all_scripts) for old, _ in self.replacements)
            changed = {script: rewritten(script, self.replacements) for script in all_scripts}
            self.router.run = lambda script, *args, **kwargs: good(changed[script], *args, **kwargs)  # type: ignore[method-assign]


def rewritten(script: Script, replacements: tuple[tuple[str, str], ...]) -> Script:
    changed = Script.__new__(Script)
    changed.text = script.text
    for old, new in replacements:
        changed.text = changed.text.replace(old, new)
    changed.digest = hashlib.sha1(changed.text.encode(), usedforsecurity=False).hexdigest()
    return changed


class ChangedCalls(RedisMutant):
    """Puts scripts and commands through `run` and `command`, which are given the good ones."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        run, call = self.router.run, self.router.call
        vars(self.router)["run"] = lambda *args, **kwargs: self.run(run, *args, **kwargs)
        vars(self.router)["call"] = lambda *args, **kwargs: self.command(call, *args, **kwargs)

    def run(self, good: Callable[..., Any], script: Script, *args: Any, **kwargs: Any) -> Any:
        return good(script, *args, **kwargs)

    def command(self, good: Callable[..., Any], command: Sequence[Any], deadline: float, **kwargs: Any) -> Any:
        return good(command, deadline, **kwargs)
