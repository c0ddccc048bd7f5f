"""Which store the command line works on: `--url` and `--namespace`, else what environment and files say."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from module_sdk.domain.sentinels import UNSET
from module_sdk.facade.runtime import Runtime, get_runtime, put_in_force
from module_sdk.facade.settings import variable_of


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
        options = {**self.given(), **more}
        put_in_force(options.pop("url", UNSET), UNSET, options, by_command=True)
        return get_runtime()

    def source(self, runtime: Runtime) -> str:
        """In words, where the store's URL came from."""
        return runtime.source if self.url is None else "the option --url"

    def environment(self) -> dict[str, str]:
        """The environment of another process that is to work on the same store.

        Not its arguments: every user of the machine could read a password there.
        """
        inherited = dict(os.environ)
        if self.url is not None:
            # Of the two, one process may have one.
            inherited.pop(variable_of("url_file"), None)
        return inherited | {variable_of(name): value for name, value in self.given().items()}
