"""Small distributions, installed as pip would install them: modules and a `dist-info` in a folder of `sys.path`."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

Groups = dict[str, dict[str, str]]
"""Entry points: the values by group and name."""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, modules: dict[str, str], groups: Groups) -> None:
    """Install a distribution for this test. Module names must be unique in a run, since Python caches imports."""
    write(folder, name, modules, groups)
    monkeypatch.syspath_prepend(str(folder))


def write(folder: Path, name: str, modules: dict[str, str], groups: Groups) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for module, source in modules.items():
        (folder / f"{module}.py").write_text(textwrap.dedent(source))
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    sections = (f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in values.items()) for group, values in groups.items())
    (info / "entry_points.txt").write_text("\n".join(sections))
