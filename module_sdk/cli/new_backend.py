"""`module-sdk new-backend NAME`: the skeleton of a plugin, whose contract tests show what is still to be written."""

from __future__ import annotations

import importlib.util
import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated, Final

import typer

from module_sdk import __version__
from module_sdk.cli import console
from module_sdk.errors import InvalidInputError
from module_sdk.plugins.registry import registry

NAME: Final = re.compile(r"[a-z](?:-?[a-z0-9])*")
MAXIMUM_NAME_CHARACTERS: Final = 40

FILES: Final = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    "$package/__init__.py": "package.py.txt",
    "$package/manager.py": "manager.py.txt",
    "$package/plugin.py": "plugin.py.txt",
    "$package/py.typed": None,
    "tests/test_contract.py": "test_contract.py.txt",
}
"""The files to write, each with its template in the folder `skeleton`. `None` means an empty file."""


def new_backend(
    name: Annotated[str, typer.Argument(help="The scheme of its URLs, such as mydb for mydb://.", show_default=False)],
    folder: Annotated[Path, typer.Option(help="Where the new folder module-sdk-NAME is created.")] = Path(),
) -> None:
    """Write the skeleton of a backend: a distribution whose tests show, clause by clause, what is still missing."""
    created = write_skeleton(name, folder)
    console.say(f"{created} is written. Next: cd {created} && pip install -e '.[test]' && pytest")


def write_skeleton(name: str, folder: Path) -> Path:
    """Return the folder that was created. Raise `InvalidInputError` before anything is written."""
    values = placeholders(check_name(name))
    created = folder / values["distribution"]
    if created.exists():
        raise InvalidInputError(
            f"{created} exists already: remove it, or choose another name or --folder", field="name"
        )
    if not folder.is_dir():
        raise InvalidInputError(f"the folder {folder} does not exist: create it first", field="folder")
    check_free(name, values["package"])
    for path, template in FILES.items():
        file = created / Template(path).substitute(values)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("" if template is None else Template(read(template)).substitute(values), encoding="utf-8")
    return created


def check_name(name: str) -> str:
    """Return the name if it can be a scheme, a distribution and, with `_` for `-`, a package."""
    if len(name) > MAXIMUM_NAME_CHARACTERS:
        message = f"the name must be at most {MAXIMUM_NAME_CHARACTERS} characters, not {len(name)}"
        raise InvalidInputError(message, field="name", maximum=MAXIMUM_NAME_CHARACTERS)
    if not NAME.fullmatch(name):
        message = f"the name {name!r} must consist of a-z, 0-9 and single '-' inside, and begin with a letter"
        raise InvalidInputError(message, field="name")
    return name


def check_free(name: str, package: str) -> None:
    """Raise `InvalidInputError` for an installed name, because two backends for one scheme disable both."""
    if name in registry.schemes():
        raise InvalidInputError(f"{name}:// is served by an installed backend: choose another name", field="name")
    if importlib.util.find_spec(package) is not None:
        raise InvalidInputError(f"the package {package} is installed: choose another name", field="name")


def placeholders(name: str) -> dict[str, str]:
    """Return the value of each `$…` in a template."""
    class_name = "".join(part.capitalize() for part in name.split("-"))
    return {
        "name": name,
        "distribution": f"module-sdk-{name}",
        "package": f"module_sdk_{name.replace('-', '_')}",
        "class_name": class_name,
        "manager": f"{class_name}TaskManager",
        "version": __version__,
    }


def read(template: str) -> str:
    return files("module_sdk.cli").joinpath("skeleton", template).read_text(encoding="utf-8")
