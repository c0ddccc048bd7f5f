"""No part of a secret in a mistyped URL is shown in any error, log or command, whatever its scheme."""

from __future__ import annotations

import io
import itertools
import logging
import random
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import module_sdk
from module_sdk import tasks
from module_sdk.errors import ConfigurationError
from module_sdk.facade.lookup_failures import failures
from module_sdk.facade.runtime import get_runtime
from module_sdk.plugins.registry import registry
from module_sdk.store.options import ManagerOptions
from tests.support.command_line import CommandLine

SCHEMES = registry.schemes()
DRIVERS = ["postgresql+psycopg", "mysql+pymysql", "mongodb+srv", "redis+sentinel"]
# No word of an error contains three of these letters in a row.
LETTERS = "QXZJKVWqxzjkvw"
AWKWARD = "@:/#?% &=+;,[]!$'()*~\"\\|<>{}^`"
SHORTEST_FRAGMENT = 3


def secrets(seed: int) -> Iterator[str]:
    """Yield passwords that contain each awkward character between letters, and some that contain many."""
    chance = random.Random(seed)

    def word() -> str:
        return "".join(chance.choices(LETTERS, k=4)) + str(chance.randint(100, 999))

    for character in AWKWARD:
        yield f"{word()}{character}{word()}"
    for _ in range(10):
        yield "".join(part for _ in range(3) for part in (word(), chance.choice(AWKWARD)))
    yield word()
    yield f"12{chance.choice('/?#')}{word()}"
    yield f"{word()}@127.0.0.1:1/{word()}"
    yield f"{word()}%{word()}@{word()}:{word()}"


def urls(scheme: str, secret: str) -> Iterator[str]:
    """Yield URLs with the secret in each position, plain and encoded, and with each of the usual mistakes."""
    encoded = quote(secret, safe="")
    half = encoded.replace("%40", "@").replace("%3A", ":")
    for written in dict.fromkeys((secret, encoded, half, encoded.lower() if encoded.islower() else encoded)):
        userinfo = f"app:{written}"
        yield f"{scheme}://{userinfo}@127.0.0.1:1/0"
        yield f"{scheme}://:{written}@127.0.0.1:1/0"
        if ":" not in written:  # with a colon, the part before it would be the name of a user
            yield f"{scheme}://{written}@127.0.0.1:1/0"
        yield f"{scheme}://{userinfo}@127.0.0.1:1,127.0.0.1:2/db"
        yield f"{scheme}://app@127.0.0.1:1/0?password={written}"
        yield f"{scheme}://app@127.0.0.1:1/0?auth_token={written}&x=1"
        yield f"{scheme}:/{userinfo}@127.0.0.1/0"
        yield f"{scheme}:{userinfo}@127.0.0.1/0"
        yield f"{scheme}//{userinfo}@127.0.0.1/0"
        yield f"{scheme}:///{userinfo}@127.0.0.1/0"
        yield f"{scheme};//{userinfo}@127.0.0.1/0"
        yield f'"{scheme}://{userinfo}@127.0.0.1/0"'
        yield f" {scheme}://{userinfo}@127.0.0.1/0"
        yield f"{scheme}://{userinfo}@127.0.0.1:1/0\n"
        yield f"{scheme}://{userinfo}@127.0.0.1:{written}/0"
        if "@" not in written and not written[0].isdigit():  # otherwise it would be a correct URL
            yield f"{scheme}://{userinfo}"
            yield f"{scheme}://{userinfo}/0"
        yield f"{scheme}://{userinfo}@"
        yield f"{scheme}://http://{userinfo}@127.0.0.1/0"
        yield f"{userinfo}@127.0.0.1/0"
        yield f"//{userinfo}@127.0.0.1/0"


def fragments(secret: str) -> set[str]:
    """Return the texts that must not be shown: each part of the secret, plain and encoded."""
    forms = (secret, quote(secret, safe=""))
    parts = {
        form[start : start + SHORTEST_FRAGMENT] for form in forms for start in range(len(form) - SHORTEST_FRAGMENT + 1)
    }
    # Parts of the error's own text: the address, and the characters to encode.
    own = "127.0.0.1:1/0 http:// @127 '@' '?' ', ' %40 %3A %2F %3F %23 %25 %20 *** @*** :///"
    return {part for part in parts if part not in own and any(letter in LETTERS for letter in part)}


def texts_of(error: BaseException) -> Iterator[str]:
    """Yield the texts of an error, of all its causes and contexts, suppressed or not, and of its traceback."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        yield from (str(one), repr(one), *map(str, one.args), *getattr(one, "__notes__", ()))
        waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    # A traceback contains lines of source but no values, and the lines of this test contain no secret.
    yield from traceback.format_exception(error)


def assert_hidden(texts: Iterator[str], secret: str, url: str) -> None:
    shown = "\n".join(texts)
    found = sorted(part for part in fragments(secret) if part in shown)
    assert not found, f"{found} of {url!r} in:\n{shown}"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Return everything that any logger logs, with tracebacks."""
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.mark.filterwarnings("ignore::UserWarning")  # pymongo warns of unknown options
@pytest.mark.parametrize("scheme", [*SCHEMES, *DRIVERS, "nosuchdb", "postgres1ql"])
def test_no_part_of_a_secret_is_shown_of_any_url(
    scheme: str, log: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = accepted = 0
    for secret in secrets(seed=len(scheme)):
        for url in urls(scheme, secret):
            module_sdk.reset()
            failures.forget()
            try:
                module_sdk.configure(url=url, lookup_timeout_seconds=0.05, timeout_seconds=0.05, breaker=False)
            except ConfigurationError as error:
                refused += 1
                assert_hidden(texts_of(error), secret, url)
                continue
            accepted += 1
            runtime = get_runtime()
            manager = runtime.manager()
            shown = [repr(manager), str(manager), repr(manager.url), str(manager.url), repr(manager.options)]
            shown += [repr(runtime.settings), runtime.source, *(f"{value!r}" for value in vars(manager).values())]
            assert_hidden(iter(shown), secret, url)
            if accepted % 7 == 1:  # connect only for some URLs, because connecting is slow
                found = tasks.list_user_tasks(1)
                if found.error is not None:
                    assert_hidden(texts_of(found.error), secret, url)
    module_sdk.reset()
    for secret in secrets(seed=len(scheme)):
        assert_hidden(iter([log.getvalue()]), secret, "the log")
    assert refused > 100
    assert accepted > 0 or scheme not in SCHEMES


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql:/u:PW@h/db", "a colon and two slashes"),
        ("postgresql:u:PW@h", "a colon and two slashes"),
        ("mysql://u:p@ss@h/db", "more than one '@'.*%40"),
        ("redis://u:p/ss@h/0", "'@' or a '#' after its host.*'/' as %2F"),
        ("redis://u:p#ss@h/0", "'#' as %23"),
        ("mongodb://u:p?ss@h/0", r"'\?' as %3F"),
        ("postgres://u:p%ss@h/0", "'%' without two hexadecimal digits.*'%' as %25"),
        ("mariadb://u:p ss@h/0", "a space"),
        ("valkey://u:pass", "the port in the store URL is not a number"),
        ("rediss://h:pass/0", "the port in the store URL is not a number.*':' as %3A"),
        ("postgresql://u:pw@h:70000/0", "the port"),
        ("postgresql://u:pw@h/db\n", "line break"),
        ("'postgresql://u:pw@h/db'", "no quotes"),
        ("", "empty"),
        ("redis://u:pw@h/name", "the number of a database"),
    ],
)
def test_the_error_of_a_mistyped_url_says_what_is_wrong_and_what_to_encode(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        module_sdk.open_manager(url)


GOOD = {
    "postgresql://app:p%40s%3As%2F@[::1]:5432/db?sslmode=require": "postgresql://app:***@[::1]:5432/db?sslmode=require",
    "postgresql://app:secret@/db?host=/run/postgresql": "postgresql://app:***@/db?host=/run/postgresql",
    "postgresql:///db?host=/run/postgresql": "postgresql:///db?host=/run/postgresql",
    "postgresql://app:a:b@one:1,two:2/db": "postgresql://app:***@one:1,two:2/db",
    "postgresql://app:@h": "postgresql://app:@h",
    "postgresql://app:secret@%2Frun%2Fpg/db": "postgresql://app:***@%2Frun%2Fpg/db",
    "redis://:secret@h:6379/0": "redis://:***@h:6379/0",
    "redis://token@h": "redis://***@h",
    "redis://h": "redis://h",
    "mongodb+srv://app:secret@h.example/db?w=majority": "mongodb+srv://app:***@h.example/db?w=majority",
    "mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:abcdef": "mongodb://h/?authMechanismProperties=***",
    "mysql://u:secret@h/d?ssl_key=%2Fkey&charset=utf8": "mysql://u:***@h/d?ssl_key=***&***",
    "mysql://u:secret@h/d?charset=utf8&ssl_key=%2Fkey": "mysql://u:***@h/d?charset=utf8&ssl_key=***",
    "sqlite:////srv/a@b/c#d e.db": "sqlite:////srv/a@b/c#d e.db",
    "sqlite:///100%.db?synchronous=normal": "sqlite:///100%.db?synchronous=normal",
    "memory://": "memory://",
    "memory://screens?namespace=shop": "memory://screens",
    "other+driver.x://a.b-c/d?proxy=http:%2F%2Fu:p%40h": "other+driver.x://a.b-c/d?proxy=***",
    "other://app:p@h?flag": "other://app:***@h?***",
}


@pytest.mark.parametrize(("url", "shown"), GOOD.items())
def test_a_correct_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert str(module_sdk.backends.StoreURL.parse(url)) == shown


def test_a_short_password_is_not_masked_within_words() -> None:
    parsed = module_sdk.backends.StoreURL.parse("postgresql://app:sql@h/db")
    assert str(parsed) == "postgresql://app:***@h/db"
    assert parsed.scrub("sqlalchemy: bad password 'sql' of postgresql") == (
        "sqlalchemy: bad password '***' of postgresql"
    )


# --- Options, environment, files ------------------------------------------------------------------------------------

SECRET = "ZqXj@kVw/QxZ"


@pytest.mark.parametrize(
    "store",
    ["memory://", "sqlite:///x.db", "postgresql://h/d", "mysql://h/d", "redis://h", "rediss://h", "mongodb://h"],
)
@pytest.mark.parametrize(
    "name", ["password", "auth_token", "api_key", "ssl_password", "sslpassword", "colour", "timeout"]
)
def test_no_value_of_an_option_is_shown(
    store: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    monkeypatch.chdir(tmp_path)
    own: dict[str, Any] = {name: SECRET}
    try:
        module_sdk.configure(url=store, lookup_timeout_seconds=0.2, **own)
    except ConfigurationError as error:
        assert_hidden(texts_of(error), SECRET, store)
    else:
        manager = get_runtime().manager()
        error_of_lookup = tasks.list_user_tasks(1).error
        assert error_of_lookup is not None
        assert_hidden(itertools.chain(texts_of(error_of_lookup), (repr(manager), repr(manager.options))), SECRET, store)
    assert_hidden(iter([log.getvalue(), repr(ManagerOptions(extra={name: SECRET}))]), SECRET, store)


SETTINGS = [
    "URL",
    "URL_FILE",
    "NAMESPACE",
    "BREAKER",
    "TIMEOUT_SECONDS",
    "MAX_CONNECTIONS",
    "REQUIRE_URL",
    "DSN",
    "COLOUR",
]


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("value", [SECRET, f"postgresql:/app:{SECRET}@h/db", f"postgresql://app:{SECRET}@h/db"])
def test_no_value_of_a_variable_is_shown(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv(f"MODULE_SDK_TASKS_{name}", value)
    error = tasks.list_user_tasks(1).error
    assert_hidden(iter([log.getvalue(), *(texts_of(error) if error else ())]), SECRET, name)


LINES = [
    'url = "{}',
    'url = "{}" x',
    "url = {}",
    'url = ["{}"]',
    'breaker = "{}"',
    '"{}" = 1',
    "[{}]",
    '["{}"]\nx = 1',
    '"{}" = 1\n"{}" = 2',
    'url = "{}"\nurl = "{}"',
    'a = {{ "{}" = 1, "{}" = 2 }}',
    'url = "\\q{}"',
    'timeout_seconds = "{}"',
    'url_file = "{}"',
    "\ufeff\x00{}",
]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(
    "written", list(itertools.product(("module_sdk.toml", "pyproject.toml"), ("utf-8", "utf-16"))), ids="-".join
)
def test_no_part_of_a_line_of_a_file_is_shown(
    line: str, written: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    file, encoding = written
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    table = "[tool.module-sdk]\n" if file == "pyproject.toml" else ""
    content = table + line.format(*[f"postgresql://app:{SECRET}@h/db"] * 2)
    Path(file).write_bytes(content.encode(encoding, errors="surrogatepass"))
    error = tasks.list_user_tasks(1).error
    if encoding == "utf-16" or file == "module_sdk.toml":
        assert isinstance(error, ConfigurationError)
    assert_hidden(iter([log.getvalue(), *(texts_of(error) if error else ())]), SECRET, line)


# --- Commands -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "redis", "mongodb", "sqlite", "memory"])
def test_commands_show_no_part_of_a_secret(scheme: str, tmp_path: Path) -> None:
    command_line = CommandLine(tmp_path)
    mistyped = [
        f"{scheme}:/app:{SECRET}@127.0.0.1:1/0",
        f"{scheme}://app:{SECRET}@127.0.0.1:1/0",
        f"{scheme}://app:ZqXjkVw:QxZ",
        f"{scheme}://app:{quote(SECRET, safe='')}@127.0.0.1:1/0",
    ]
    for number, url in enumerate(mistyped):
        doctor = command_line.run("doctor", *(["--json"] if number % 2 else []), MODULE_SDK_TASKS_URL=url)
        listing = command_line.run("--url", url, "tasks", "list")
        assert_hidden(iter([doctor.stdout, doctor.stderr, listing.stdout, listing.stderr]), SECRET, url)
        if number < 3:
            assert (doctor.returncode, listing.returncode) == (1, 1)
