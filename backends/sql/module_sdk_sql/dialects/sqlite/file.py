"""The database's file, before SQLite opens it: who may read it."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Final

from module_sdk.backends import ConfigurationError

logger = logging.getLogger("module_sdk.tasks")

AS_THE_MASK_ALLOWS: Final = 0o666
OWNER_ALONE: Final = 0o600
# SQLite gives these the rights of the database's file when it makes them, and leaves those that exist as they are.
COMPANIONS: Final = ("", "-wal", "-shm", "-journal")


def create(path: Path, *, private: bool) -> None:
    """An empty file, unless another process was faster. Raises `ConfigurationError`.

    Connections never create the file, lest one that was deleted come back empty and unnoticed.
    """
    mode = OWNER_ALONE if private else AS_THE_MASK_ALLOWS
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode))
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be created: {error.strerror}") from error


def close_to_others(path: Path) -> None:
    """Take from other users what an earlier version, or somebody's hand, let them do with the files.

    By name, since closing a descriptor of the file would release the locks that SQLite has on it in this process.
    """
    for companion in COMPANIONS:
        file = Path(f"{path}{companion}")
        try:
            if stat.S_IMODE(file.stat().st_mode) != OWNER_ALONE:
                file.chmod(OWNER_ALONE)
        except FileNotFoundError:
            continue
        except OSError as error:
            logger.warning("%s is open to other users, and this one cannot close it: %s", file, error.strerror)
