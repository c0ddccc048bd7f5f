"""`module-sdk` in processes of its own, with a home folder that nobody else uses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import module_sdk
from module_sdk.store.manager import TaskManager

COMMAND = (sys.executable, "-m", "module_sdk.cli")
SECONDS = 110


class CommandLine:
    """Whatever a command does, it shows no traceback and, in a pipe, sends no control character."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.default_file = home / "data" / "module-sdk" / "tasks.db"
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("MODULE_SDK_", "COLUMNS"))}
        self.environment = mine | {"HOME": str(home), "XDG_DATA_HOME": str(home / "data")}

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; nobody is there to be asked."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            env=self.environment | environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        for text in (done.stdout, done.stderr):
            assert "Traceback" not in text
            assert all(char.isprintable() or char == "\n" for char in text), text
        return done

    def succeed(self, *arguments: str, **environment: str) -> str:
        """What the command printed; it must end well."""
        done = self.run(*arguments, **environment)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    def read(self, *arguments: str, **environment: str) -> Any:
        """What the command printed as JSON."""
        return json.loads(self.succeed(*arguments, "--json", **environment))

    def fail(self, *arguments: str, **environment: str) -> str:
        """The one line that a command printed on stderr; it must end badly."""
        done = self.run(*arguments, **environment)
        assert done.returncode in (1, 2)
        assert done.stderr.count("\n") == 1
        return done.stderr

    def start(self, *arguments: str, **how: Any) -> subprocess.Popen[str]:
        """A command that goes on; the caller ends it."""
        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
        return subprocess.Popen([*COMMAND, *arguments], env=self.environment, cwd=self.home, text=True, **how)

    def default_manager(self) -> TaskManager:
        """The store that commands use by default, opened here too; the caller closes it."""
        self.default_file.parent.mkdir(parents=True, exist_ok=True)
        return module_sdk.open_manager(f"sqlite:///{self.default_file}")
