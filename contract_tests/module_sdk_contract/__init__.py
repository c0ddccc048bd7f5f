"""The shared contract suite of module-sdk backends: subclass `TaskManagerContract`, set its URL, run pytest.

`pytest -p module_sdk_contract` loads the plugin. The names of this module are loaded on first use, so a project that
loads the plugin and runs other tests imports nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from module_sdk_contract.contract import TaskManagerContract
    from module_sdk_contract.harness import Store
    from module_sdk_contract.report.verdicts import Deviation

pytest_plugins = ["module_sdk_contract.plugin"]

LAZY_NAMES = {
    "Deviation": "module_sdk_contract.report.verdicts",
    "Store": "module_sdk_contract.harness",
    "TaskManagerContract": "module_sdk_contract.contract",
}

__all__ = ["Deviation", "Store", "TaskManagerContract"]


def __getattr__(name: str) -> Any:
    if name not in LAZY_NAMES:
        raise AttributeError(f"module 'module_sdk_contract' has no attribute {name!r}")
    return getattr(importlib.import_module(LAZY_NAMES[name]), name)
