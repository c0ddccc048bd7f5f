"""The demo's work: find, for each module of a package of the standard library, the encoding that makes it smallest."""

from __future__ import annotations

import bz2
import functools
import hashlib
import itertools
import lzma
import sysconfig
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from module_sdk import tasks
from module_sdk.errors import ConfigurationError

FUNCTION_NAME: Final = "demo.catalog.materialize"
KEY_PREFIX: Final = "demo.catalog.materialize."
MAXIMUM_PACKAGES: Final = 12
FEWEST_MODULES: Final = 5
# Tests and tools, some of them large, that not every system and version has.
LEFT_OUT: Final = frozenset({"test", "distutils", "idlelib", "lib2to3"})
DICTIONARY_BYTES: Final = 1 << 20


def lzma_smallest(source: bytes, *, literal_context: int, position_bits: int) -> bytes:
    filters = [
        {
            "id": lzma.FILTER_LZMA1,
            "preset": 6 | lzma.PRESET_EXTREME,
            "dict_size": DICTIONARY_BYTES,
            "lc": literal_context,
            "pb": position_bits,
        }
    ]
    return lzma.compress(source, format=lzma.FORMAT_ALONE, filters=filters)


# How well literals are predicted from their neighbours and from their alignment differs from source to source.
ENCODINGS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "zlib": functools.partial(zlib.compress, level=9),
    "bz2": functools.partial(bz2.compress, compresslevel=9),
    **{
        f"lzma lc={context} pb={bits}": functools.partial(lzma_smallest, literal_context=context, position_bits=bits)
        for context, bits in itertools.product((0, 1, 2, 3), (0, 2))
    },
}


def library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def modules_of(package: str) -> list[Path]:
    """The source files of a package, in a fixed order."""
    return sorted((library() / package).rglob("*.py"))


def packages() -> list[str]:
    """The largest packages of the standard library, smallest first. Raises `ConfigurationError` if there are none."""
    sizes = {}
    for folder in library().iterdir():
        if folder.name in LEFT_OUT or not (folder / "__init__.py").is_file():
            continue
        modules = modules_of(folder.name)
        if len(modules) >= FEWEST_MODULES:
            sizes[folder.name] = sum(module.stat().st_size for module in modules)
    if not sizes:
        raise ConfigurationError(f"this Python has no sources of its standard library in {library()}")
    return sorted(sizes, key=lambda package: (sizes[package], package))[-MAXIMUM_PACKAGES:]


@tasks.register(FUNCTION_NAME)
def materialize(package: str) -> dict[str, Any]:
    """Progress and a checkpoint after each module. Sizes in bytes; `sha256` is that of all sources, one after another.

    `{"package", "modules", "bytes_before", "bytes_after", "sha256", "encodings"}`, the last saying how often which
    encoding was the smallest.
    """
    task = tasks.current()
    modules = modules_of(package)
    digest = hashlib.sha256()
    encodings: Counter[str] = Counter()
    before = after = 0
    for number, module in enumerate(modules, start=1):
        source = module.read_bytes()
        digest.update(source)
        size, encoding = min((len(encode(source)), name) for name, encode in ENCODINGS.items())
        encodings[encoding] += 1
        before, after = before + len(source), after + size
        checkpoint = {
            "module": module.relative_to(library()).as_posix(),
            "modules": number,
            "bytes_before": before,
            "bytes_after": after,
        }
        task.update_progress(number / len(modules), checkpoint)
    return {
        "package": package,
        "modules": len(modules),
        "bytes_before": before,
        "bytes_after": after,
        "sha256": digest.hexdigest(),
        "encodings": dict(encodings.most_common()),
    }
