"""The store of a process that chose none: its user's alone; where there can be none, an error says what to set."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from module_sdk_sql.dialects.sqlite.file import COMPANIONS

from tests.support.command_line import COMMAND

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which only root may")

# Another user, of whom the system's list knows nothing, as the orchestrators of containers choose them.
NOBODY_KNOWN = 54_321
READING = "+dac_read_search"
USE = """
import os, sys
os.umask(int(sys.argv[1], 8))
import module_sdk
from module_sdk import tasks

async def work():
    pass

found = tasks.list_user_tasks(1)
try:
    with module_sdk.session(user={"id": 1}):
        task_id = tasks.run_background_sync(work())
        tasks.wait(task_id, 30)
except module_sdk.ConfigurationError as error:
    assert type(found.error) is type(error) and str(found.error) == str(error), (found.error, error)
    print("refused:", error)
else:
    assert found.error is None, found.error
    assert task_id in [row["id"] for row in tasks.list_user_tasks(1)]
    folder = module_sdk.facade.runtime.get_runtime().manager().dialect.path.parent
    for path in (folder, *sorted(folder.iterdir())):
        print(oct(path.stat().st_mode & 0o7777)[2:], path.name)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user of the machine may enter, as the working folder of the processes."""
    folder = Path(tempfile.mkdtemp(prefix="default-store-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


Variables = dict[str, str | None]


def environment(variables: Variables) -> dict[str, str]:
    mine = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MODULE_SDK_", "XDG_", "HOME", "USER", "LOGNAME"))
    }
    return mine | {name: value for name, value in variables.items() if value is not None}


def use(place: Path, variables: Variables, *, mask: str = "022", user: int | None = None) -> str:
    """What a process prints that writes to the default store and reads it again."""
    return run([sys.executable, "-c", USE, mask], place, user, variables)


def run(command: list[str], place: Path, user: int | None, variables: Variables) -> str:
    # The other user may read everything, since the interpreter may lie where only root can; and write nothing.
    other = [
        f"--reuid={user}",
        f"--regid={user}",
        "--clear-groups",
        f"--inh-caps={READING}",
        f"--ambient-caps={READING}",
    ]
    done = subprocess.run(
        command if user is None else ["setpriv", *other, *command],
        cwd=place,
        env=environment(variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done.stdout + done.stderr


def rights(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))[2:]


@pytest.mark.parametrize("mask", ["000", "002", "022", "077", "277", "777"])
@pytest.mark.parametrize("variable", ["HOME", "XDG_DATA_HOME"])
def test_only_its_user_can_read_the_default_store(place: Path, mask: str, variable: str) -> None:
    # given a home folder, and nothing in it
    home = place / "home"
    home.mkdir()

    # when a process with this mask uses the store
    listed = use(place, {"HOME": str(home), variable: str(home)}, mask=mask).splitlines()

    # then its folder is closed, and so is each file while the process has it open
    assert "700 module-sdk" in listed
    assert {"600 tasks.db", "600 tasks.db-wal", "600 tasks.db-shm"} <= set(listed)
    (folder,) = home.rglob("module-sdk")
    for above in folder.relative_to(home).parents:
        if above != Path():
            assert rights(home / above) == "700"


def test_the_rights_of_an_earlier_version_are_taken_away(place: Path) -> None:
    # given a store that everybody may read, with the files that a process which was killed leaves behind
    folder = place / ".local" / "share" / "module-sdk"
    folder.mkdir(parents=True)
    assert "600 tasks.db" in use(place, {"HOME": str(place)})
    killed = "import os, module_sdk\nmodule_sdk.tasks.list_user_tasks(1)\nos._exit(0)"
    run([sys.executable, "-c", killed], place, None, {"HOME": str(place)})
    for companion in COMPANIONS:
        if (file := folder / f"tasks.db{companion}").exists():
            file.chmod(0o666)
    folder.chmod(0o777)

    # when another process uses it
    listed = use(place, {"HOME": str(place)}).splitlines()

    # then
    assert "700 module-sdk" in listed
    assert {line.partition(" ")[0] for line in listed if " tasks.db" in line[:12]} == {"600"}
    assert rights(folder.parent) == "755"  # not ours


def test_a_file_that_was_chosen_has_the_rights_of_the_mask_unless_it_is_private(place: Path) -> None:
    for url, expected in (("sqlite:///open.db", "644"), ("sqlite:///closed.db?private=true", "600")):
        use(place, {"MODULE_SDK_TASKS_URL": url})
        assert rights(place / url.removeprefix("sqlite:///").partition("?")[0]) == expected
    assert rights(place) == "755"


NAMES = ["a%41b", "a?b=c", "a#b", "a b", 'it\'s "so"', "é中", "a:b@c", "100%", "a+b&c;d", "%2F", "a\\b", "a*[b]"]


@pytest.mark.parametrize("name", [*(os.fsencode(name) for name in NAMES), b"\xff\xfe"], ids=ascii)
@pytest.mark.parametrize("variable", ["HOME", "XDG_DATA_HOME"])
def test_a_home_folder_of_any_name_works(place: Path, name: bytes, variable: str) -> None:
    home = place / os.fsdecode(name)
    home.mkdir()

    listed = use(place, {"HOME": str(home), variable: str(home)})

    assert "600 tasks.db" in listed
    assert [path for path in place.rglob("*.db") if path.is_relative_to(home)]
    assert [each.name for each in place.iterdir()] == [home.name]


def homes(place: Path) -> dict[str, Variables]:
    """Environments with no place for the default store."""
    (place / "file").touch()
    (place / "broken").symlink_to(place / "nowhere")
    occupied = place / "occupied"
    (occupied / ".local").mkdir(parents=True)
    (occupied / ".local" / "share").touch()
    taken = place / "taken" / ".local" / "share"
    taken.mkdir(parents=True)
    (taken / "module-sdk").touch()
    folder = place / "database" / ".local" / "share" / "module-sdk" / "tasks.db"
    folder.mkdir(parents=True)
    return {
        "missing": {"HOME": "/nonexistent"},
        "empty": {"HOME": ""},
        "a file": {"HOME": str(place / "file")},
        "below a file": {"HOME": str(place / "file" / "home")},
        "a broken link": {"HOME": str(place / "broken")},
        "a file in its place": {"HOME": str(occupied)},
        "a file in the place of the folder": {"HOME": str(place / "taken")},
        "a folder in the place of the file": {"HOME": str(place / "database")},
        "a folder of data that is a file": {"HOME": str(place), "XDG_DATA_HOME": str(place / "file")},
        "a device": {"HOME": "/dev/null"},
        "no file system for it": {"HOME": "/proc"},
    }


@pytest.mark.parametrize(
    "case",
    [
        "missing",
        "empty",
        "a file",
        "below a file",
        "a broken link",
        "a file in its place",
        "a file in the place of the folder",
        "a folder in the place of the file",
        "a folder of data that is a file",
        "a device",
        "no file system for it",
    ],
)
def test_a_home_folder_that_cannot_be_used_is_an_error_that_says_what_to_set(place: Path, case: str) -> None:
    variables = homes(place)[case]
    before = sorted(place.rglob("*"))

    assert_refused(place, None, variables)

    # then nothing was made anywhere
    assert sorted(place.rglob("*")) == before
    assert not Path("/nonexistent").exists()


def assert_refused(place: Path, user: int | None, variables: Variables) -> None:
    """Lookups, writes and commands say the same, and the last of them in one line."""
    said = use(place, variables, user=user)
    assert said.startswith("refused: the default store cannot be used: "), said
    assert "MODULE_SDK_TASKS_URL" in said
    for arguments in (["doctor"], ["setup"], ["tasks", "list"]):
        output = run([*COMMAND, *arguments], place, user, variables)
        assert "the default store cannot be used" in output
        assert "MODULE_SDK_TASKS_URL" in output.partition("error: ")[2]
    # and another store works there all the same
    chosen = run([*COMMAND, "--url", "memory://", "tasks", "list", "--json"], place, user, variables)
    assert chosen == "[]\n" or "rows" in chosen


@needs_root
@pytest.mark.parametrize("home", [None, "/nonexistent", "/", "", "/root", "/root/below"])
def test_a_user_without_an_entry_in_the_systems_list(place: Path, home: str | None) -> None:
    assert_refused(place, NOBODY_KNOWN, {"HOME": home})


@needs_root
def test_a_user_without_an_entry_and_with_a_home_folder(place: Path) -> None:
    home = place / "home"
    home.mkdir()
    os.chown(home, NOBODY_KNOWN, NOBODY_KNOWN)
    assert "600 tasks.db" in use(place, {"HOME": str(home)}, user=NOBODY_KNOWN)


@needs_root
@pytest.mark.parametrize("closed", ["home", "folder", "file"])
def test_what_another_user_owns_or_nobody_may_write_is_an_error(place: Path, closed: str) -> None:
    # given a store that this user made, and then a home, a folder or a file that is read-only
    home = place / "home"
    home.mkdir()
    os.chown(home, NOBODY_KNOWN, NOBODY_KNOWN)
    folder = home / ".local" / "share" / "module-sdk"
    if closed == "home":
        home.chmod(0o500)
    else:
        use(place, {"HOME": str(home)}, user=NOBODY_KNOWN)
        target = folder if closed == "folder" else folder / "tasks.db"
        os.chown(target, 0, 0)

    assert_refused(place, NOBODY_KNOWN, {"HOME": str(home)})


def test_doctor_says_that_the_store_is_the_default(place: Path) -> None:
    report = run([*COMMAND, "doctor"], place, None, {"HOME": str(place)})
    assert "the default: an SQLite file in the user's data folder" in report
    assert rights(place / ".local" / "share" / "module-sdk" / "tasks.db") == "600"


def test_a_file_that_was_removed_comes_back_closed(place: Path) -> None:
    code = """
import module_sdk, os
from module_sdk import tasks
tasks.list_user_tasks(1)
manager = module_sdk.facade.runtime.get_runtime().manager()
for path in manager.dialect.path.parent.iterdir():
    path.unlink()
os.umask(0)
manager.setup()
print(oct(manager.dialect.path.stat().st_mode & 0o777))
"""
    assert run([sys.executable, "-c", code], place, None, {"HOME": str(place)}).splitlines()[0] == "0o600"
