"""What a manager is opened with, besides its URL."""

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

# A day: Python's locks and sockets refuse endless and far longer waits.
LONGEST_SECONDS: Final = 86_400


class CommonOptions(TypedDict, total=False):
    """The options that `configure` and `open_manager` share; `ManagerOptions` says what they mean."""

    namespace: str
    auto_setup: bool
    timeout_seconds: float
    max_connections: int
    maximum_payload_bytes: int


class OpenOptions(CommonOptions, total=False):
    """The keyword arguments of `open_manager`."""

    clock: Clock


class UnknownOptionError(ConfigurationError):
    """An option that the backend does not know; `known` are those that only it knows."""

    def __init__(self, name: str, known: Collection[str]) -> None:
        offered = f"; this backend knows {', '.join(sorted(known))}" if known else ""
        super().__init__(f"unknown option {name!r}{offered}")
        self.name = name
        self.known = known


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ManagerOptions:
    """Handed to a backend's `module_sdk_open_task_manager` hook. Raises `ConfigurationError` for a bad value."""

    namespace: str = "module_sdk"
    """Separates applications on one server."""
    clock: Clock = system_clock
    """Time now in integer microseconds; tests set it."""
    auto_setup: bool = True
    """Whether first use creates or upgrades the schema."""
    timeout_seconds: float = 10.0
    """How long a call may take that is given no deadline of its own: writes, the read model, connecting."""
    max_connections: int = 16
    maximum_payload_bytes: int = DEFAULT_MAXIMUM_BYTES
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    """Options that only the backend knows; a password may be among them."""

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
        """The options that are secrets, by their names."""
        return [str(value) for name, value in self.extra.items() if value and SECRET_NAMES.search(name)]

    def refuse_unknown(self, known: Collection[str] = ()) -> None:
        """For backends: raise `ConfigurationError` for an `extra` option that is not `known`."""
        for name in self.extra:
            if name not in known:
                raise UnknownOptionError(name, known)


def check_with_driver(
    ask: Callable[[], object], options: Mapping[str, Any], refusals: type[Exception] | tuple[type[Exception], ...]
) -> None:
    """For backends: let the driver look at the options of a URL, before there is a server to connect to.

    `ask` hands the options to the driver; one of `refusals` becomes `ConfigurationError`. The driver's own text may
    quote a value, which may be a secret, so the error only names the options in that text.
    """
    refused: Exception | None = None
    try:
        ask()
    except refusals as error:
        refused = error
    # Outside of the handler, so that the driver's error, which may repeat a value, is not the context of ours.
    if refused is not None:
        shown, text = nameable(options), str(refused).lower()
        named = [name for name in shown if re.search(rf"\b{re.escape(name.lower())}\b", text)]
        listed = ", ".join(named or shown) or "one after '?'"
        raise ConfigurationError(f"the driver refuses options of the URL: {listed} ({type(refused).__name__})")


def nameable(options: Mapping[str, Any]) -> list[str]:
    """The names of options that an error may show; none if behind an unescaped "?" may be the rest of a password."""
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
