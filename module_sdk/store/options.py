"""The options with which a manager is opened, besides its URL."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypedDict

from module_sdk.domain.payloads import DEFAULT_MAXIMUM_BYTES, HIGHEST_MAXIMUM_BYTES
from module_sdk.domain.timestamps import Clock, system_clock
from module_sdk.errors import ConfigurationError
from module_sdk.store.redaction import SECRET_NAMES
from module_sdk.store.urls import check_namespace

# One day. Python's locks and sockets refuse infinite and much longer timeouts.
LONGEST_SECONDS: Final = 86_400


class CommonOptions(TypedDict, total=False):
    """The options of both `configure` and `open_manager`. `ManagerOptions` documents them."""

    namespace: str
    auto_setup: bool
    timeout_seconds: float
    max_connections: int
    maximum_payload_bytes: int


class OpenOptions(CommonOptions, total=False):
    """The keyword arguments of `open_manager`."""

    clock: Clock


class UnknownOptionError(ConfigurationError):
    """The backend does not know an option. `known` are the options that are specific to this backend."""

    def __init__(self, name: str, known: Collection[str]) -> None:
        offered = f"; this backend knows {', '.join(sorted(known))}" if known else ""
        super().__init__(f"unknown option {name!r}{offered}")
        self.name = name
        self.known = known


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ManagerOptions:
    """The options that a backend's hook `module_sdk_open_task_manager` receives.

    Raises `ConfigurationError` for a bad value.
    """

    namespace: str = "module_sdk"
    """Separates applications on one server."""
    clock: Clock = system_clock
    """Returns the time in integer microseconds since 1970 UTC. Tests replace it."""
    auto_setup: bool = True
    """Whether first use creates or upgrades the schema."""
    timeout_seconds: float = 10.0
    """The longest time for a call without a timeout of its own: writes, the read model, connecting."""
    max_connections: int = 16
    maximum_payload_bytes: int = DEFAULT_MAXIMUM_BYTES
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    """The options that only the backend knows. They may include a password."""

    def __post_init__(self) -> None:
        check_namespace(self.namespace)
        if not callable(self.clock):
            raise ConfigurationError("clock must be callable")
        if not isinstance(self.auto_setup, bool):
            raise ConfigurationError("auto_setup must be true or false")
        check_seconds("timeout_seconds", self.timeout_seconds)
        check_whole("max_connections", self.max_connections, most=1_000)
        check_whole("maximum_payload_bytes", self.maximum_payload_bytes, most=HIGHEST_MAXIMUM_BYTES)

    def secrets(self) -> list[str]:
        """Return the values of extra options whose names say that they are secret."""
        return [str(value) for name, value in self.extra.items() if value and SECRET_NAMES.search(name)]

    def refuse_unknown(self, known: Collection[str] = ()) -> None:
        """Raise `ConfigurationError` for an `extra` option that is not in `known`. For backends."""
        for name in self.extra:
            if name not in known:
                raise UnknownOptionError(name, known)


def check_with_driver(
    ask: Callable[[], object], options: Mapping[str, Any], refusals: type[Exception] | tuple[type[Exception], ...]
) -> None:
    """Let the driver check the options of a URL without connecting to a server. For backends.

    `ask` must pass the options to the driver. If it raises one of `refusals`, this raises `ConfigurationError`. The
    driver's error may quote a secret value, so the new error only names the options that occur in its text.
    """
    refused: Exception | None = None
    try:
        ask()
    except refusals as error:
        refused = error
    # Raised outside the handler: the driver's error may quote a value and must not become the context of this one.
    if refused is not None:
        shown, text = nameable(options), str(refused).lower()
        named = [name for name in shown if re.search(rf"\b{re.escape(name.lower())}\b", text)]
        listed = ", ".join(named or shown) or "one after '?'"
        raise ConfigurationError(f"the driver refuses options of the URL: {listed} ({type(refused).__name__})")


def nameable(options: Mapping[str, Any]) -> list[str]:
    """Return the option names that an error may show: none if a password with an unescaped "?" may be among them."""
    if any("@" in f"{name}{value}" for name, value in options.items()):
        return []
    return sorted(name for name in options if re.fullmatch("[A-Za-z_]+", name))


def check_seconds(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_SECONDS:
        raise ConfigurationError(f"{name} must be a number above 0 and at most {LONGEST_SECONDS:,}")


def check_whole(name: str, value: object, *, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
        raise ConfigurationError(f"{name} must be an integer between 1 and {most:,}")


DEFAULTS: Final = ManagerOptions()
