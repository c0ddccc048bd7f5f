"""Runs of `module-sdk` in separate processes, with a home folder of their own."""

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
    """Runs commands, and checks that none prints a traceback or, in a pipe, a control character."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.default_file = home / "data" / "module-sdk" / "tasks.db"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MODULE_SDK_", "COLUMNS"))}
        self.environment = kept | {"HOME": str(home), "XDG_DATA_HOME": str(home / "data")}

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, without input."""
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
        """Run a command that must succeed, and return its output."""
        done = self.run(*arguments, **environment)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    def read(self, *arguments: str, **environment: str) -> Any:
        """Run a command that must succeed with `--json`, and return the value that it printed."""
        return json.loads(self.succeed(*arguments, "--json", **environment))

    def fail(self, *arguments: str, **environment: str) -> str:
        """Run a command that must fail, and return the one line that it printed on stderr."""
        done = self.run(*arguments, **environment)
        assert done.returncode in (1, 2)
        assert done.stderr.count("\n") == 1
        return done.stderr

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command with these options of `Popen`, and return its process. The caller must end it."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen([*COMMAND, *arguments], env=self.environment, cwd=self.home, text=True, **options)

    def default_manager(self) -> TaskManager:
        """Open the store that commands use by default, and return its manager. The caller must close it."""
        self.default_file.parent.mkdir(parents=True, exist_ok=True)
        return module_sdk.open_manager(f"sqlite:///{self.default_file}")
