"""Creation and permissions of the database file, before SQLite opens it."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Final

from module_sdk.backends import ConfigurationError

logger = logging.getLogger("module_sdk.tasks")

MODE_BEFORE_UMASK: Final = 0o666
OWNER_ONLY: Final = 0o600
# SQLite creates the companions with the permissions of the database file, and does not change those of existing ones.
COMPANIONS: Final = ("", "-wal", "-shm", "-journal")


def create(path: Path, *, private: bool) -> None:
    """Create an empty file unless another process was faster. Raises `ConfigurationError` if that is impossible.

    Connections must never create the file: a deleted file would come back empty, and nobody would notice.
    """
    mode = OWNER_ONLY if private else MODE_BEFORE_UMASK
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode))
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be created: {error.strerror}") from error


def close_to_others(path: Path) -> None:
    """Remove all permissions of other users, which an earlier version or an operator may have granted.

    This changes the files by name: closing a descriptor of the file would release the locks that SQLite has on it in
    this process.
    """
    for companion in COMPANIONS:
        file = Path(f"{path}{companion}")
        try:
            if stat.S_IMODE(file.stat().st_mode) != OWNER_ONLY:
                file.chmod(OWNER_ONLY)
        except FileNotFoundError:
            continue
        except OSError as error:
            logger.warning(
                "%s is accessible to other users, and this user cannot change that: %s", file, error.strerror
            )
