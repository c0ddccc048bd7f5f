"""The default store of a process: an SQLite file in the user's data folder, readable by that user only."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from pathlib import Path
from typing import Final
from urllib.parse import quote

from module_sdk.errors import ConfigurationError
from module_sdk.facade.sources import ENVIRONMENT_PREFIX

logger = logging.getLogger("module_sdk.tasks")

OWNER_ALONE: Final = 0o700
OTHERS: Final = 0o077
FILE_NAME: Final = "tasks.db"


def default_url() -> str:
    """Return the URL of the default store. Create its folder if it is missing, accessible to its owner only.

    Raises `ConfigurationError` if the file cannot exist there. The error names the setting that chooses a store.
    """
    try:
        folder = data_folder()
        make_private(folder)
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise unusable(f"the data folder {folder} is not writable")
        file = folder / FILE_NAME
        if file.exists() and not (file.is_file() and os.access(file, os.R_OK | os.W_OK)):
            raise unusable(f"{file} is not a file that this user can read and write")
    except OSError as error:
        raise unusable(f"{error.filename}: {error.strerror}") from error
    return f"sqlite:///{quote(os.fsencode(file))}"


def data_folder() -> Path:
    """Return the folder for the file. Raises `ConfigurationError` for a user without a home folder."""
    import platformdirs  # noqa: PLC0415  # only the default store needs it

    # Without a home folder, "~" is not expanded, or platformdirs raises.
    folder = home = Path("~")
    with contextlib.suppress(RuntimeError):
        folder = Path(platformdirs.user_data_dir("module-sdk", appauthor=False))
        home = Path.home()
    if not folder.is_relative_to(home) and folder.is_absolute():
        return folder
    if not home.is_absolute() or os.environ.get("HOME") == "":
        raise unusable("this user has no home folder (HOME is not set, or the system's list of users has none)")
    if not folder.is_absolute():
        raise unusable("XDG_DATA_HOME is not an absolute path")
    if not home.is_dir():
        raise unusable(f"the home folder {home} does not exist")
    return folder


def make_private(folder: Path) -> None:
    """Create the folder and its missing parents, and remove the rights of other users to it."""
    for one in reversed([one for one in (folder, *folder.parents) if not one.is_dir()]):
        try:
            # Private from its creation. `chmod` restores rights of the owner that the umask may have removed.
            one.mkdir(mode=OWNER_ALONE)
            one.chmod(OWNER_ALONE)
        except FileExistsError:
            # Another process may have created the folder in the meantime.
            if not one.is_dir():
                raise
    rights = stat.S_IMODE(folder.stat().st_mode)
    private = (rights & ~OTHERS) | OWNER_ALONE
    if rights == private:
        return
    try:
        folder.chmod(private)
    except PermissionError:
        logger.warning("the data folder %s is open to other users, and it belongs to another user", folder)
    else:
        logger.info("the data folder %s is now closed to other users", folder)


def unusable(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"the default store cannot be used: {reason}; set {ENVIRONMENT_PREFIX}URL to choose a store"
    )
