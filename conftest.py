"""Loads the fixtures of our own tests, where what they need is installed.

`pytest --pyargs module_sdk_contract` on an editable clone passes by here too, with the extra `contract` alone.
"""

from __future__ import annotations

import importlib.util

pytest_plugins = ["tests.support.fixtures"] if importlib.util.find_spec("psutil") else []
