"""The default store is private to its user. If it cannot exist, an error names the setting that chooses a store."""

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

# The id of a user without an entry in the system's list of users, such as orchestrators choose for containers.
UNLISTED_USER = 54_321
CAPABILITY_TO_READ = "+dac_read_search"
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
def working_folder() -> Iterator[Path]:
    """Return the working folder of the processes, which every user of the machine may enter."""
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


def use(working_folder: Path, variables: Variables, *, mask: str = "022", user: int | None = None) -> str:
    """Return the output of a process that writes to the default store and reads it again."""
    return run([sys.executable, "-c", USE, mask], working_folder, user, variables)


def run(command: list[str], working_folder: Path, user: int | None, variables: Variables) -> str:
    # The other user may read everything, because the interpreter may be in a folder that only root can read. It may
    # write nothing.
    other = [
        f"--reuid={user}",
        f"--regid={user}",
        "--clear-groups",
        f"--inh-caps={CAPABILITY_TO_READ}",
        f"--ambient-caps={CAPABILITY_TO_READ}",
    ]
    done = subprocess.run(
        command if user is None else ["setpriv", *other, *command],
        cwd=working_folder,
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
def test_only_its_user_can_read_the_default_store(working_folder: Path, mask: str, variable: str) -> None:
    # given an empty home folder
    home = working_folder / "home"
    home.mkdir()

    # when a process with this mask uses the store
    listed = use(working_folder, {"HOME": str(home), variable: str(home)}, mask=mask).splitlines()

    # then its folder is private, and so is each file while the process has it open
    assert "700 module-sdk" in listed
    assert {"600 tasks.db", "600 tasks.db-wal", "600 tasks.db-shm"} <= set(listed)
    (folder,) = home.rglob("module-sdk")
    for above in folder.relative_to(home).parents:
        if above != Path():
            assert rights(home / above) == "700"


def test_excessive_rights_from_an_earlier_version_are_removed(working_folder: Path) -> None:
    # given a store that every user may read, with the files that a killed process leaves behind
    folder = working_folder / ".local" / "share" / "module-sdk"
    folder.mkdir(parents=True)
    assert "600 tasks.db" in use(working_folder, {"HOME": str(working_folder)})
    killed = "import os, module_sdk\nmodule_sdk.tasks.list_user_tasks(1)\nos._exit(0)"
    run([sys.executable, "-c", killed], working_folder, None, {"HOME": str(working_folder)})
    for companion in COMPANIONS:
        if (file := folder / f"tasks.db{companion}").exists():
            file.chmod(0o666)
    folder.chmod(0o777)

    # when another process uses it
    listed = use(working_folder, {"HOME": str(working_folder)}).splitlines()

    assert "700 module-sdk" in listed
    assert {line.partition(" ")[0] for line in listed if " tasks.db" in line[:12]} == {"600"}
    assert rights(folder.parent) == "755"  # not ours


def test_a_configured_file_has_the_rights_of_the_umask_unless_it_is_private(working_folder: Path) -> None:
    for url, expected in (("sqlite:///open.db", "644"), ("sqlite:///closed.db?private=true", "600")):
        use(working_folder, {"MODULE_SDK_TASKS_URL": url})
        assert rights(working_folder / url.removeprefix("sqlite:///").partition("?")[0]) == expected
    assert rights(working_folder) == "755"


NAMES = ["a%41b", "a?b=c", "a#b", "a b", 'it\'s "so"', "é中", "a:b@c", "100%", "a+b&c;d", "%2F", "a\\b", "a*[b]"]


@pytest.mark.parametrize("name", [*(os.fsencode(name) for name in NAMES), b"\xff\xfe"], ids=ascii)
@pytest.mark.parametrize("variable", ["HOME", "XDG_DATA_HOME"])
def test_a_home_folder_of_any_name_works(working_folder: Path, name: bytes, variable: str) -> None:
    home = working_folder / os.fsdecode(name)
    home.mkdir()

    listed = use(working_folder, {"HOME": str(home), variable: str(home)})

    assert "600 tasks.db" in listed
    assert [path for path in working_folder.rglob("*.db") if path.is_relative_to(home)]
    assert [each.name for each in working_folder.iterdir()] == [home.name]


def homes(working_folder: Path) -> dict[str, Variables]:
    """Return environments in which the default store cannot exist."""
    (working_folder / "file").touch()
    (working_folder / "broken").symlink_to(working_folder / "nowhere")
    occupied = working_folder / "occupied"
    (occupied / ".local").mkdir(parents=True)
    (occupied / ".local" / "share").touch()
    taken = working_folder / "taken" / ".local" / "share"
    taken.mkdir(parents=True)
    (taken / "module-sdk").touch()
    folder = working_folder / "database" / ".local" / "share" / "module-sdk" / "tasks.db"
    folder.mkdir(parents=True)
    return {
        "missing": {"HOME": "/nonexistent"},
        "empty": {"HOME": ""},
        "a file": {"HOME": str(working_folder / "file")},
        "below a file": {"HOME": str(working_folder / "file" / "home")},
        "a broken symlink": {"HOME": str(working_folder / "broken")},
        "a file instead of a parent folder": {"HOME": str(occupied)},
        "a file instead of the folder": {"HOME": str(working_folder / "taken")},
        "a folder instead of the file": {"HOME": str(working_folder / "database")},
        "a folder of data that is a file": {"HOME": str(working_folder), "XDG_DATA_HOME": str(working_folder / "file")},
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
        "a broken symlink",
        "a file instead of a parent folder",
        "a file instead of the folder",
        "a folder instead of the file",
        "a folder of data that is a file",
        "a device",
        "no file system for it",
    ],
)
def test_a_home_folder_that_cannot_be_used_is_an_error_that_says_what_to_set(working_folder: Path, case: str) -> None:
    variables = homes(working_folder)[case]
    before = sorted(working_folder.rglob("*"))

    assert_refused(working_folder, None, variables)

    # then nothing was created anywhere
    assert sorted(working_folder.rglob("*")) == before
    assert not Path("/nonexistent").exists()


def assert_refused(working_folder: Path, user: int | None, variables: Variables) -> None:
    """Assert that lookups, writes and commands report the same error, the commands in one line."""
    printed = use(working_folder, variables, user=user)
    assert printed.startswith("refused: the default store cannot be used: "), printed
    assert "MODULE_SDK_TASKS_URL" in printed
    for arguments in (["doctor"], ["setup"], ["tasks", "list"]):
        output = run([*COMMAND, *arguments], working_folder, user, variables)
        assert "the default store cannot be used" in output
        assert "MODULE_SDK_TASKS_URL" in output.partition("error: ")[2]
    # another store works there nevertheless
    chosen = run([*COMMAND, "--url", "memory://", "tasks", "list", "--json"], working_folder, user, variables)
    assert chosen == "[]\n" or "rows" in chosen


@needs_root
@pytest.mark.parametrize("home", [None, "/nonexistent", "/", "", "/root", "/root/below"])
def test_a_user_without_an_entry_in_the_systems_list_gets_an_error(working_folder: Path, home: str | None) -> None:
    assert_refused(working_folder, UNLISTED_USER, {"HOME": home})


@needs_root
def test_a_user_without_an_entry_but_with_a_home_folder_gets_a_store(working_folder: Path) -> None:
    home = working_folder / "home"
    home.mkdir()
    os.chown(home, UNLISTED_USER, UNLISTED_USER)
    assert "600 tasks.db" in use(working_folder, {"HOME": str(home)}, user=UNLISTED_USER)


@needs_root
@pytest.mark.parametrize("closed", ["home", "folder", "file"])
def test_a_folder_or_file_that_the_user_may_not_write_is_an_error(working_folder: Path, closed: str) -> None:
    # given a home folder that is read-only, or a store of this user whose folder or file now belongs to another user
    home = working_folder / "home"
    home.mkdir()
    os.chown(home, UNLISTED_USER, UNLISTED_USER)
    folder = home / ".local" / "share" / "module-sdk"
    if closed == "home":
        home.chmod(0o500)
    else:
        use(working_folder, {"HOME": str(home)}, user=UNLISTED_USER)
        target = folder if closed == "folder" else folder / "tasks.db"
        os.chown(target, 0, 0)

    assert_refused(working_folder, UNLISTED_USER, {"HOME": str(home)})


def test_doctor_says_that_the_store_is_the_default(working_folder: Path) -> None:
    report = run([*COMMAND, "doctor"], working_folder, None, {"HOME": str(working_folder)})
    assert "the default: an SQLite file in the user's data folder" in report
    assert rights(working_folder / ".local" / "share" / "module-sdk" / "tasks.db") == "600"


def test_a_file_that_was_removed_is_created_again_as_private(working_folder: Path) -> None:
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
    assert (
        run([sys.executable, "-c", code], working_folder, None, {"HOME": str(working_folder)}).splitlines()[0]
        == "0o600"
    )
