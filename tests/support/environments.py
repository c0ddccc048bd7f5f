"""Built distributions, in fresh environments without our source code."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def tracked_files(*patterns: str) -> list[Path]:
    """Return the files of the repository that match a pattern, except for those that were just deleted."""
    command = ["git", "ls-files", "-z", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).exists()]


# A console script of a package in another environment. With -P, as in pip's scripts, nothing is imported from the
# working folder.
SCRIPT: Final = '#!/bin/sh\nexec "{python}" -P -m {module} "$@"\n'


def build(project: Path, folder: Path) -> Path:
    """Build the wheel of a project from its source distribution, without the network, and return its path."""
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, project], cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def run(command: list[str | Path], *, cwd: Path, **environment: str) -> str:
    """Run a command that must succeed, and return its output."""
    done = subprocess.run(command, cwd=cwd, env=os.environ | environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Environment:
    """A virtual environment with the given wheels, which also sees the dependencies of our tests."""

    def __init__(self, folder: Path, *wheels: Path) -> None:
        venv.create(folder)
        self.folder = folder
        self.scripts = folder / "bin"
        self.python = self.scripts / "python"
        base = {"base": str(folder), "platbase": str(folder)}
        self.site_packages = Path(sysconfig.get_path("purelib", vars=base))
        # Python does not follow `.pth` files of a path added by one, so our editable install stays invisible.
        (self.site_packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        for module in ("pip", "pytest"):
            script = self.scripts / module
            script.write_text(SCRIPT.format(python=self.python, module=module))
            script.chmod(0o755)
        for wheel in wheels:
            self.run("pip", "install", "--no-deps", "--no-index", wheel)

    def run(self, script: str, *arguments: str | Path, cwd: Path = Path("/")) -> str:
        """Run a script of the environment that must succeed, and return its output."""
        return run([self.scripts / script, *arguments], cwd=cwd, **self.variables())

    def variables(self) -> dict[str, str]:
        """Return the environment variables of an activated environment on a machine without network."""
        return {
            "PATH": f"{self.scripts}{os.pathsep}{os.environ['PATH']}",
            "VIRTUAL_ENV": str(self.folder),
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as the value of --build-isolation
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTEST_ADDOPTS": "-p no:asyncio -p no:valkey",
        }
