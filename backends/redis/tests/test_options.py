"""URLs of servers and of sentinels: what they mean, which are refused, and which parts are shown."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import pytest
from module_sdk_redis.options import ServerSettings

import module_sdk
from module_sdk.backends import ConfigurationError, ManagerOptions, StoreURL

SECRETS: Final = ("zQ7@r/X9:%", "kW3&m?V5#+ ")
"""The passwords of the servers and of the sentinels; no part of either occurs anywhere else."""
PARTS: Final = ("zQ7", "X9", "kW3", "V5")
SENTINELS: Final = "redis+sentinel://h1:1,h2,[::1]:3/my%20tasks/4"


def parsed(url: str, **options: Any) -> ServerSettings:
    return ServerSettings.parse(StoreURL.parse(url), ManagerOptions(extra=options))


def test_a_url_names_sentinels_a_service_and_a_database() -> None:
    settings = parsed(SENTINELS)
    assert settings.sentinels is not None
    assert settings.sentinels.addresses == (("h1", 1), ("h2", 26379), ("::1", 3))
    assert settings.sentinels.service == "my tasks"
    assert settings.connection.arguments["db"] == 4
    assert settings.sentinels.connection.arguments["db"] == 0
    assert parsed("valkey+sentinel://h/tasks").connection.arguments["db"] == 0
    assert parsed("redis://h:1/4").sentinels is None


@pytest.mark.parametrize(
    ("scheme", "query", "of_servers", "of_sentinels"),
    [
        ("redis+sentinel", "", False, False),
        ("rediss+sentinel", "", True, True),
        ("valkeys+sentinel", "", True, True),
        ("rediss+sentinel", "sentinel_tls=no&", True, False),
        ("redis+sentinel", "sentinel_tls=yes&", False, True),
    ],
)
def test_tls_applies_to_servers_and_sentinels_unless_the_url_says_otherwise(
    scheme: str, query: str, of_servers: bool, of_sentinels: bool
) -> None:
    rest = "ssl_ca_certs=/a" if of_servers or of_sentinels else ""
    settings = parsed(f"{scheme}://h/tasks?{query}{rest}")
    assert settings.sentinels is not None
    both = (settings.connection, settings.sentinels.connection)
    assert [each.uses_tls for each in both] == [of_servers, of_sentinels]
    assert ["ssl_ca_certs" in each.arguments for each in both] == [of_servers, of_sentinels]


def secret_url() -> str:
    first, second = (quote(secret, safe="") for secret in SECRETS)
    return f"rediss+sentinel://me:{first}@h1,h2/tasks?sentinel_username=you&sentinel_password={second}&ssl_password={first}"


def test_servers_and_sentinels_get_their_own_user_and_password() -> None:
    settings = parsed(secret_url())
    assert settings.sentinels is not None
    names = ("username", "password")
    assert [settings.connection.arguments[name] for name in names] == ["me", SECRETS[0]]
    assert [settings.sentinels.connection.arguments[name] for name in names] == ["you", SECRETS[1]]
    by_options = parsed("redis+sentinel://h/tasks", sentinel_password=SECRETS[1]).sentinels
    assert by_options is not None
    assert by_options.connection.arguments["password"] == SECRETS[1]


def test_no_part_of_a_secret_is_shown() -> None:
    url = StoreURL.parse(secret_url())
    manager = module_sdk.open_manager(secret_url())
    escaped = [quote(secret, safe="") for secret in SECRETS]
    shown = (str(url), repr(url), repr(manager), repr(manager.__dict__), url.scrub(" ".join((*SECRETS, *escaped))))
    for text in shown:
        assert not [part for part in PARTS if part in text]
    assert str(url).startswith("rediss+sentinel://me:***@h1,h2/tasks?sentinel_username=you&sentinel_password=***")


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://h",
        "redis+sentinel://h/",
        "redis+sentinel:///tasks",
        "redis+sentinel://h:x/tasks",
        "redis+sentinel://h:99999/tasks",
        "redis+sentinel://h,/tasks",
        "redis+sentinel://h/tasks/one",
        "redis+sentinel://h/tasks/0/1",
        "redis+sentinel://u:zQ7@h1,u:zQ7@h2/tasks",
        "redis+sentinel://u:zQ7@X9@h2/tasks",
        "redis+sentinel://u:zQ7/X9@h2/tasks",
        "redis+sentinels://h/tasks",
        "redis+cluster://h/tasks",
        "redis+sentinel://h/tasks?sentinel_pass=zQ7",
        "redis+sentinel://h/tasks?sentinel_password_=zQ7",
        "redis+sentinel://h/tasks?password=zQ7",
        "redis+sentinel://h/tasks?service=other",
        "redis+sentinel://h/tasks?socket_timeout=1",
        "redis+sentinel://h/tasks?ssl_ca_certs=/a",
        "redis+sentinel://h/tasks?sentinel_tls=maybe",
        "redis://h/0?sentinel_password=zQ7",
        "redis://h/0?ssl_ca_certs=/a",
        "rediss://h/0?sentinel_tls=yes",
        "redis://h/0?retry=1",
    ],
)
def test_a_wrong_url_is_refused_by_configure_without_showing_a_secret(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        module_sdk.configure(url=url)
    assert not [part for part in PARTS if part in str(raised.value)]
    module_sdk.reset()
