"""The store of the command line: `--url` and `--namespace`, or without them the settings from environment and files."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from module_sdk.domain.sentinels import UNSET
from module_sdk.facade.runtime import Runtime, apply_configuration, get_runtime
from module_sdk.facade.settings import variable_of


@dataclasses.dataclass(frozen=True)
class StoreOptions:
    """The global options; `None` means not given."""

    url: str | None = dataclasses.field(default=None, repr=False)
    namespace: str | None = None

    def given(self) -> dict[str, str]:
        """Return the options that were given, by name."""
        options = {"url": self.url, "namespace": self.namespace}
        return {name: value for name, value in options.items() if value is not None}

    def open(self, **more: Any) -> Runtime:
        """Configure the process for the store, without connecting. Raises `ConfigurationError`."""
        options = {**self.given(), **more}
        apply_configuration(options.pop("url", UNSET), UNSET, options, by_command=True)
        return get_runtime()

    def source(self, runtime: Runtime) -> str:
        """Return in words where the URL of the store came from."""
        return runtime.source if self.url is None else "the option --url"

    def environment(self) -> dict[str, str]:
        """Return the environment for another process that uses the same store.

        The store must not be passed as arguments, since every user of the machine could read a password there.
        """
        inherited = dict(os.environ)
        if self.url is not None:
            # The settings `url` and `url_file` exclude each other.
            inherited.pop(variable_of("url_file"), None)
        return inherited | {variable_of(name): value for name, value in self.given().items()}
