"""Code blocks of a document that belong in files, written to them as a reader of the document would."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path
from typing import Final

HEAD: Final = re.compile(r"# (?P<file>[\w./-]+\.py)(?:, in (?P<class>\w+))?\n")


def write_block(block: str, folder: Path) -> bool:
    """Write a block to the file that its first line names, and return whether it names one.

    A block under `# package/module.py` is the whole file. A block under `# package/module.py, in Class` has members of
    that class, each of which replaces the member of its name or is appended, and imports, which go to the top of the
    file.
    """
    head = HEAD.match(block)
    if head is None:
        return False
    file, body = folder / head["file"], block[head.end() :]
    if head["class"] is None:
        file.write_text(body)
    else:
        source = file.read_text()
        for statement in ast.parse(body).body:
            source = insert_statement(source, ast.get_source_segment(body, statement) or "", head["class"])
        file.write_text(source)
    return True


def insert_statement(source: str, statement: str, class_name: str) -> str:
    tree = ast.parse(source)
    lines = source.splitlines()
    (new,) = ast.parse(statement).body
    if isinstance(new, ast.Import | ast.ImportFrom):
        last = max(node.end_lineno or 0 for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))
        return "\n".join([*lines[:last], statement, *lines[last:], ""])
    (owner,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name)
    first, last = (owner.end_lineno or 0) + 1, owner.end_lineno or 0
    for member in owner.body:
        if name_of(member) == name_of(new):
            first, last = member.lineno, member.end_lineno or 0
    return "\n".join([*lines[: first - 1], textwrap.indent(statement, "    "), *lines[last:], ""])


def name_of(member: ast.stmt) -> str | None:
    """Return the name of a method or an attribute of a class."""
    if isinstance(member, ast.Assign):
        return ast.unparse(member.targets[0])
    if isinstance(member, ast.AnnAssign):
        return ast.unparse(member.target)
    return getattr(member, "name", None)
