"""The password of a URL is never shown (clause DISC-03)."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from module_sdk_memory.manager import MemoryTaskManager

import module_sdk
from module_sdk import tasks
from module_sdk.errors import ConfigurationError, TaskBackendError
from module_sdk.facade.runtime import get_runtime
from module_sdk.plugins.registry import GROUP
from module_sdk.store.options import ManagerOptions
from module_sdk.store.urls import StoreURL
from tests.support.distributions import install

# Each password contains a part that occurs nowhere else in a message.
PASSWORDS = [
    "zQ7plain",
    "zQ7@rX9",
    "zQ7/rX9",
    "zQ7?rX9",
    "zQ7#rX9",
    "zQ7:rX9",
    "zQ7%rX9",
    "zQ7 rX9",
    "zQ7+rX9",
    "zQ7&rX9",
]
PARTS = ("zQ7", "rX9")


def urls(password: str) -> list[str]:
    escaped = quote(password, safe="")
    return [
        f"leaky://user:{escaped}@host:5432/db",
        f"leaky://user:{escaped.lower()}@host:5432/db".replace("zq7", "zQ7").replace("rx9", "rX9"),
        f"leaky://:{escaped}@host",
        f"leaky://user:{escaped}@host1,host2:27017/db?authSource=admin&namespace=shop",
        f"leaky+driver://user@host/db?password={escaped}",
        f"leaky://host/db?sslmode=require&sslpassword={escaped}&x=1",
        f"leaky://host/db?auth_token={escaped}",
        f"leaky://{escaped}@host/db",
    ]


URLS = [url for password in PASSWORDS for url in urls(password)]


def assert_clean(text: str) -> None:
    assert not [part for part in PARTS if part in text]


@pytest.mark.parametrize("url", URLS)
def test_the_shown_form_of_a_url_has_no_password(url: str) -> None:
    parsed = StoreURL.parse(url)
    manager = MemoryTaskManager(url)

    # The backend does get the password.
    assert "zQ7" in parsed.text
    for shown in (str(parsed), repr(parsed), f"{parsed}", repr(manager), repr(manager.url)):
        assert_clean(shown)
    assert_clean(manager.describe_error(OSError(f"cannot connect to {parsed.text}")))
    assert_clean(str(manager.missing_schema()))
    assert "host" in str(parsed)


@pytest.mark.parametrize("url", ["postgresql://postgres:postgres@host/tasks", "redis://:redis@host"])
def test_a_password_that_is_also_in_the_scheme_does_not_mask_the_scheme(url: str) -> None:
    shown = str(StoreURL.parse(url))
    assert shown.startswith(f"{url.partition('://')[0]}://")
    assert ":***@host" in shown


LEAKY = """
from module_sdk.backends import ConfigurationError
from module_sdk_memory.manager import MemoryTaskManager
from urllib.parse import unquote

class Manager(MemoryTaskManager):
    def store_find_by_user(self, *arguments):
        raise OSError("driver: cannot reach " + unquote(self.url.text))

def module_sdk_open_task_manager(url, options):
    if options.extra.get("fails") == "driver":
        raise ValueError("driver: bad URL " + url + " or " + unquote(url))
    if options.extra.get("fails") == "backend":
        raise ConfigurationError("backend: bad URL " + url)
    return Manager(url)
"""


@pytest.fixture
def leaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a backend whose driver repeats the URL in every error."""
    install(tmp_path, monkeypatch, "leaky", {"leaky_backend": LEAKY}, {GROUP: {"leaky": "leaky_backend"}})


@pytest.mark.parametrize("fails", ["driver", "backend"])
@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.usefixtures("leaky")
def test_an_error_of_opening_has_no_password_in_its_traceback(password: str, fails: str) -> None:
    own: dict[str, Any] = {"fails": fails}
    for url in urls(password):
        with pytest.raises(ConfigurationError, match="bad URL") as refused:
            module_sdk.configure(url=url, **own)
        assert_clean("".join(traceback.format_exception(refused.value)))


@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.usefixtures("leaky")
def test_the_log_and_the_error_of_a_lookup_have_no_password(password: str, caplog: pytest.LogCaptureFixture) -> None:
    for url in urls(password):
        module_sdk.reset()
        module_sdk.configure(url=url)

        with caplog.at_level(logging.DEBUG):
            result = tasks.list_user_tasks(1)

        assert isinstance(result.error, TaskBackendError)
        assert_clean(str(result.error) + repr(result.error) + caplog.text)


def test_settings_and_options_do_not_show_secrets() -> None:
    module_sdk.configure(url="memory://user:zQ7@host")
    assert_clean(repr(get_runtime().settings))
    assert_clean(repr(ManagerOptions(extra={"password": "zQ7"})))


@pytest.mark.parametrize("url", ["5432:zQ7rX9", "user:zQ7@host/db", "//user:zQ7@host", "nope://user:zQ7@host", "zQ7"])
def test_a_url_that_is_refused_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        module_sdk.configure(url=url)
    assert_clean("".join(traceback.format_exception(refused.value)))


UNREADABLE_FILES = {
    "cut": 'url = "memory://u:zQ7@h',
    "more than a value": 'url = "memory://u:zQ7@h" breaker\n',
    "a list": 'url = ["memory://u:zQ7@h"]\n',
    "twice": 'url = "memory://u:zQ7@h"\nbreaker = true\nbreaker = true\n',
    "another value": 'url = "memory://u:zQ7@h"\nbreaker = "perhaps"\n',
    "another name": 'url = "memory://u:zQ7@h"\ncolour = "blue"\n',
    "unknown scheme": 'url = "nope://u:zQ7@h"\n',
}


@pytest.mark.parametrize("content", UNREADABLE_FILES.values(), ids=UNREADABLE_FILES)
def test_a_file_that_cannot_be_read_is_not_repeated(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("module_sdk.toml").write_text(content)

    error = tasks.list_user_tasks(1).error

    assert isinstance(error, ConfigurationError)
    assert_clean("".join(traceback.format_exception(error)))


@pytest.mark.parametrize(
    "url", ["memory://u:zQ7@h?namespace=a&x=\ud800", "memory://u:zQ7@h/\0"], ids=["surrogate", "NUL"]
)
def test_unstorable_text_in_a_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        module_sdk.configure(url=url)
    assert_clean("".join(traceback.format_exception(refused.value)))
