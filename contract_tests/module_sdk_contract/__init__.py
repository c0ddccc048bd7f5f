"""The shared contract suite of module-sdk backends: subclass `TaskManagerContract`, give it a URL, run pytest.

Names are loaded when they are first used: pytest imports this package in every project where it is installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from module_sdk_contract.contract import TaskManagerContract
    from module_sdk_contract.harness import Store
    from module_sdk_contract.verdicts import Deviation

LAZY_NAMES = {
    "Deviation": "module_sdk_contract.verdicts",
    "Store": "module_sdk_contract.harness",
    "TaskManagerContract": "module_sdk_contract.contract",
}

__all__ = ["Deviation", "Store", "TaskManagerContract"]


def __getattr__(name: str) -> Any:
    if name not in LAZY_NAMES:
        raise AttributeError(f"module 'module_sdk_contract' has no attribute {name!r}")
    return getattr(importlib.import_module(LAZY_NAMES[name]), name)
