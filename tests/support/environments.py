"""Built distributions, in fresh environments that hold nothing else of ours."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
# A console script of a package that lies elsewhere. -P, as in those that pip writes: nothing is imported from the
# working folder.
SCRIPT: Final = '#!/bin/sh\nexec "{python}" -P -m {module} "$@"\n'


def build(project: Path, folder: Path) -> Path:
    """The wheel of a project, built from its source distribution, without the network."""
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, project], cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def run(command: list[str | Path], *, cwd: Path, **environment: str) -> str:
    """What a command printed; it must end well."""
    done = subprocess.run(command, cwd=cwd, env=os.environ | environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Environment:
    """Has the wheels that are installed into it, and sees what our tests depend on."""

    def __init__(self, folder: Path, *wheels: Path) -> None:
        venv.create(folder)
        self.folder = folder
        self.scripts = folder / "bin"
        self.python = self.scripts / "python"
        base = {"base": str(folder), "platbase": str(folder)}
        self.site_packages = Path(sysconfig.get_path("purelib", vars=base))
        # A plain path: the editable install, which is a `.pth` file too, is not followed from there.
        (self.site_packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        for module in ("pip", "pytest"):
            script = self.scripts / module
            script.write_text(SCRIPT.format(python=self.python, module=module))
            script.chmod(0o755)
        for wheel in wheels:
            self.run("pip", "install", "--no-deps", "--no-index", wheel)

    def run(self, script: str, *arguments: str | Path, cwd: Path = Path("/")) -> str:
        """What a script of the environment printed; it must end well."""
        return run([self.scripts / script, *arguments], cwd=cwd, **self.variables())

    def variables(self) -> dict[str, str]:
        """As if it were activated, where there is no network."""
        return {
            "PATH": f"{self.scripts}{os.pathsep}{os.environ['PATH']}",
            "VIRTUAL_ENV": str(self.folder),
            "PIP_NO_INDEX": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as the value of --build-isolation
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PYTEST_ADDOPTS": "-p no:asyncio -p no:valkey",
        }
