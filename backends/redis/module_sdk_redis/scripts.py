"""The Lua scripts. Each is atomic: no other client sees it half done."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final


class Script:
    """The text of a script, and the digest that names it on a server that has it."""

    def __init__(self, *names: str) -> None:
        folder = resources.files("module_sdk_redis").joinpath("lua")
        # Lua redefines every function of a script on each run, so scripts that read leave out the functions of writes.
        parts = ("prefix.lua", *(f"{name}.lua" for name in names))
        self.text = "\n".join(folder.joinpath(part).read_text(encoding="utf-8") for part in parts)
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


COUNT: Final = Script("count")
CREATE: Final = Script("records", "times", "birth", "create")
GET: Final = Script("get")
IMPORT: Final = Script("records", "import")
PRUNE: Final = Script("records", "prune")
SCAN_INDEX: Final = Script("scan_index")
SCOPED: Final = Script("scoped")
UPDATE: Final = Script("records", "times", "update")
