"""The setting `url_file`: the URL of the store is read from a file, such as a secret mounted by an orchestrator."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from module_sdk.errors import ConfigurationError
from module_sdk.store.urls import MAXIMUM_URL_BYTES


def read_url_file(name: object) -> tuple[str, str]:
    """Return the URL in the file, without surrounding blanks and line breaks, and the printable name of the file.

    Raises `ConfigurationError`, which names the file and never repeats its content.
    """
    if not isinstance(name, str | os.PathLike) or not (path := os.fspath(name)) or isinstance(path, bytes):
        raise ConfigurationError("url_file must be the name of a file")
    if "://" in path or "@" in path:
        # A URL was set by mistake. It may contain a password, so the error must not repeat it.
        raise ConfigurationError("url_file must be the name of a file, and the one given looks like a URL: set url")
    shown = ascii(path)[1:-1] if not path.isprintable() else path
    content = read(path, shown)
    try:
        url = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        url = None
    if url is None:
        raise ConfigurationError(f"the file {shown} that url_file names is not UTF-8 text")
    if not url:
        raise ConfigurationError(f"the file {shown} that url_file names is empty")
    if len(url.splitlines()) > 1:
        raise ConfigurationError(f"the file {shown} that url_file names has more than one line")
    return url, shown


def read(path: str, shown: str) -> bytes:
    try:
        # Reading a pipe would block a lookup until the process at the other end writes.
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise ConfigurationError(f"the file {shown} that url_file names is not a regular file")
        with Path(path).open("rb") as file:
            return file.read(MAXIMUM_URL_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is not valid"
    raise ConfigurationError(f"the file {shown} that url_file names cannot be read: {reason}")
