"""Which store the command line works on: `--url` and `--namespace`, else what environment and files say."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from module_sdk.runtime import Runtime, configure, get_runtime
from module_sdk.settings import ENVIRONMENT_PREFIX


@dataclasses.dataclass(frozen=True)
class StoreOptions:
    """The global options; `None` is one that was not given."""

    url: str | None = dataclasses.field(default=None, repr=False)
    namespace: str | None = None

    def given(self) -> dict[str, str]:
        """Those that were given."""
        options = {"url": self.url, "namespace": self.namespace}
        return {name: value for name, value in options.items() if value is not None}

    def open(self, **more: Any) -> Runtime:
        """Put the store in force, with further settings; nothing is contacted. Raises `ConfigurationError`."""
        configure(**self.given(), **more)
        return get_runtime()

    def source(self, runtime: Runtime) -> str:
        """In words, where the store's URL came from."""
        return runtime.source if self.url is None else "the option --url"

    def environment(self) -> dict[str, str]:
        """The environment of another process that is to work on the same store.

        Not its arguments: every user of the machine could read a password there.
        """
        return os.environ | {f"{ENVIRONMENT_PREFIX}{name.upper()}": value for name, value in self.given().items()}
