"""The Lua scripts: each is one step that no other client can see half done."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final


class Script:
    """The text of a script, and the digest by which a server that has it knows it."""

    def __init__(self, *names: str) -> None:
        folder = resources.files("module_sdk_redis").joinpath("lua")
        # Lua defines every function of a script anew for each run, so reads do without those of writes.
        parts = ("prefix.lua", *(f"{name}.lua" for name in names))
        self.text = "\n".join(folder.joinpath(part).read_text(encoding="utf-8") for part in parts)
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


COUNT: Final = Script("count")
CREATE: Final = Script("records", "times", "birth", "create")
GET: Final = Script("get")
IMPORT: Final = Script("records", "import")
PRUNE: Final = Script("records", "prune")
SCOPED: Final = Script("scoped")
UPDATE: Final = Script("records", "times", "update")
WALK: Final = Script("walk")
