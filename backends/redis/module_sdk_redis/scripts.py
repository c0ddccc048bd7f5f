"""The Lua scripts: each is one step that no other client can see half done."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final


class Script:
    """The text of a script, and the digest by which a server that has it knows it."""

    def __init__(self, name: str) -> None:
        folder = resources.files("module_sdk_redis").joinpath("lua")
        parts = ("common.lua", f"{name}.lua")
        self.text = "\n".join(folder.joinpath(part).read_text(encoding="utf-8") for part in parts)
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


CREATE: Final = Script("create")
GET: Final = Script("get")
IMPORT: Final = Script("import")
PRUNE: Final = Script("prune")
UPDATE: Final = Script("update")
WALK: Final = Script("walk")
