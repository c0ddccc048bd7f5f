"""The words of the glossary are used, and those that it replaces are not (docs/glossary.md)."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path
from typing import Final

from tests.support.environments import ROOT, tracked_files

REPLACED: Final = {"anew", "foreign", "insist", "insists", "link", "links", "loan", "place", "placed", "places", "soft"}
REPLACED_ALSO: Final = {"standing", "twin", "twins", "whoever"}
OF_OTHERS: Final = {"soft_wrap"}
"""Names that belong to libraries."""
# A text may speak of a symbolic link, or of a value in place of another one.
IN_TEXTS: Final = re.compile(r"\b(anew|insists?|loans?|twins?|whoever)\b", re.IGNORECASE)
GLOSSARY: Final = ("docs/glossary.md", "tests/project/test_language.py", "CHANGELOG.md")


def tracked(*patterns: str) -> list[Path]:
    return [path for path in tracked_files(*patterns) if str(path.relative_to(ROOT)) not in GLOSSARY]


def parts(name: str) -> set[str]:
    """Return the words of an identifier."""
    return set(re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower().split("_"))


def test_no_identifier_has_a_replaced_word() -> None:
    replaced = REPLACED | REPLACED_ALSO
    found = {
        f"{path.relative_to(ROOT)}: {token.string}"
        for path in tracked("*.py")
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
        if token.type == tokenize.NAME and token.string not in OF_OTHERS and parts(token.string) & replaced
    }

    assert found == set()


def test_no_text_has_a_word_that_must_be_deciphered() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked("*.py", "*.md", "*.lua", "*.toml", "Makefile")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if IN_TEXTS.search(line)
    ]

    assert found == []
