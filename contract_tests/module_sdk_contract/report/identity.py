"""The identity of the store under test and of the software that tested it, without the secrets of its URL."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, entry_points, packages_distributions, version
from typing import Any, cast

import pytest

import module_sdk
from module_sdk.backends import ConfigurationError, StoreURL
from module_sdk_contract.harness import Store
from module_sdk_contract.suite import StoreUnderTest

BACKENDS = "module_sdk.backends"
"""The entry-point group of backends."""
DEFAULT_OPENER = StoreUnderTest.opener


def describe(store: Store) -> dict[str, Any]:
    """Return facts about the store as plain JSON. An error of the manager must not fail the test that runs next."""
    kind = type(store.manager)
    try:
        diagnosis = store.manager.diagnose()
        facts, warnings = diagnosis.facts, diagnosis.warnings
    except Exception as error:  # the report then has no facts, and a warning instead
        facts, warnings = {}, [f"diagnose failed: {type(error).__name__}: {error}"]
    found: dict[str, Any] = {
        "url": display_url(store.contract.url or store.url),
        "opener": store.contract.opener,
        "manager": f"{kind.__module__}.{kind.__qualname__}",
        "plugin": plugin_of(store),
        "capabilities": sorted(store.capabilities),
        "facts": facts,
        "warnings": warnings,
        "versions": {
            "module-sdk": module_sdk.__version__,
            "Python": f"{platform.python_implementation()} {platform.python_version()}",
            "pytest": pytest.__version__,
            "system": platform.platform(),
        },
    }
    return cast("dict[str, Any]", scrubbed(found, store.url))


def plugin_of(store: Store) -> dict[str, str | None]:
    """Return the distribution of the manager: that of the scheme's entry point or, without one, that of its package."""
    if store.contract.opener == DEFAULT_OPENER:
        for entry in entry_points(group=BACKENDS, name=StoreURL.parse(store.url).scheme):
            if entry.dist is not None:
                return {"name": entry.dist.name, "version": entry.dist.version, "entry point": entry.value}
    package = type(store.manager).__module__.partition(".")[0]
    for name in packages_distributions().get(package, ()):
        return {"name": name, "version": installed_version(name), "entry point": None}
    return {"name": package, "version": None, "entry point": None}


def installed_version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def display_url(url: str) -> str:
    """Return the URL with its secrets masked. No part of a URL that cannot be parsed is returned."""
    try:
        return StoreURL.parse(url).scrub(url)
    except ConfigurationError:
        return "a URL that cannot be read"


def scrubbed(value: Any, url: str) -> Any:
    """Return the value with every password of the URL masked in all texts that it contains."""
    try:
        parsed = StoreURL.parse(url)
    except ConfigurationError:
        return value
    return replaced(value, parsed) if parsed.secrets() else value


def replaced(value: Any, url: StoreURL) -> Any:
    if isinstance(value, str):
        return url.scrub(value)
    if isinstance(value, dict):
        return {name: replaced(inner, url) for name, inner in value.items()}
    return [replaced(inner, url) for inner in value] if isinstance(value, list) else value


def masked(item: pytest.Item, text: str) -> str:
    """Return the text with the passwords of all URLs of the test's suite masked."""
    suite = getattr(item, "cls", None)
    store = getattr(item, "funcargs", {}).get("store")
    for url in {getattr(suite, "url", ""), getattr(store, "url", "")}:
        text = str(scrubbed(text, url)) if isinstance(url, str) else text
    return text
