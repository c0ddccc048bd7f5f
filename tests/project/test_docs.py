"""Every example in the documents works (CONTRIBUTING.md, "Documents are tested")."""

from __future__ import annotations

import os
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Final

import pytest
from sybil import Example, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser

from tests.support.doc_files import write_block
from tests.support.environments import ROOT, Environment

DOCUMENTS: Final = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
INSTALLING: Final = [ROOT / "docs" / "write-a-backend.md"]
"""Documents whose examples install packages; they need a separate environment and run the contract suite there."""
PROMPT: Final = "$ "
ANYTHING: Final = "…"


def run_console(example: Example) -> str | None:
    """Run the commands of a console block, and return what is wrong, or None."""
    commands = re.split(r"^\$ ", example.parsed, flags=re.MULTILINE)[1:]
    if not commands:
        return f"a console block has no line that begins with {PROMPT!r}"
    for command, *shown in (text.rstrip().split("\n") for text in commands):
        done = subprocess.run(
            ["bash", "-c", command],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            return f"{command} ended with {done.returncode}:\n{done.stdout}"
        for line in shown:
            if not re.search(re.escape(line.strip()).replace(ANYTHING, ".*"), done.stdout):
                return f"{command} did not print {line!r} but:\n{done.stdout}"
    return None


class PythonBlocks:
    """An evaluator that writes a block to the file that it names, or runs a block that names none."""

    def __init__(self) -> None:
        self.run = PythonEvaluator()

    def __call__(self, example: Example) -> None:
        if not write_block(example.parsed, Path()):
            self.run(example)


SYBIL: Final = Sybil([CodeBlockParser("python", PythonBlocks()), CodeBlockParser("console", run_console)])


def run_document(path: Path) -> int:
    """Run every block of a document, in order and in one namespace, and return the number of blocks."""
    examples = list(SYBIL.parse(path))
    for example in examples:
        example.evaluate()
    return len(examples)


@pytest.fixture(autouse=True)
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imitate a reader who has installed the package, with no settings and an empty home as the working folder."""
    for name in os.environ:
        if name.startswith(("MODULE_SDK_", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)


def relative_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path not in INSTALLING], ids=relative_name)
def test_the_examples_of_a_document_work(path: Path) -> None:
    run_document(path)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", INSTALLING, ids=relative_name)
def test_the_examples_of_a_document_that_installs_work(
    path: Path, built_wheel: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = Environment(tmp_path_factory.mktemp("environment"), built_wheel)
    for name, value in environment.variables().items():
        monkeypatch.setenv(name, value)

    run_document(path)


def write(text: str) -> Path:
    path = Path("page.md")
    path.write_text(text)
    return path


def test_blocks_share_their_names_and_run_in_order() -> None:
    page = write("```python\nx = 1\n```\n```py\nnot run\n```\n```python\nassert x == 1\n```\n")
    assert run_document(page) == 2


def test_a_block_that_raises_fails() -> None:
    with pytest.raises(ZeroDivisionError):
        run_document(write("```python\n1 / 0\n```\n"))


def test_a_console_block_runs_its_commands_and_compares_their_output() -> None:
    page = write("```console\n$ echo one; echo 2 two\none\n… two\n$ true\n```\n```sh\nfalse\n```\n")
    assert run_document(page) == 1


@pytest.mark.parametrize(
    "block", ["$ false", "$ echo one\ntwo", "echo no prompt"], ids=["status", "output", "nothing to run"]
)
def test_a_console_block_that_is_wrong_fails(block: str) -> None:
    with pytest.raises(AssertionError):
        run_document(write(f"```console\n{block}\n```\n"))


def test_a_block_that_names_a_file_is_written_to_it() -> None:
    page = write(
        "```python\n# one.py\nimport re\n\n\nclass One:\n    x = 1\n\n    def f(self):\n        return 1\n```\n"
        "```python\n# one.py, in One\nimport os\n\nx = 2\n\n\ndef f(self):\n    return os.sep\n\n\n"
        "def g(self):\n    pass\n```\n"
    )
    assert run_document(page) == 2
    assert Path("one.py").read_text() == (
        "import re\nimport os\n\n\nclass One:\n    x = 2\n\n    def f(self):\n        return os.sep\n"
        "    def g(self):\n        pass\n"
    )
