"""The example programs run and say what they should."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent
EXAMPLES = PACKAGE / "examples"

SAID = {
    "append_read": "offsets 0 to 1\n0: good morning\n1: guten Morgen\n",
    "resume_without_duplicates": (
        "the log has everything up to position None\n"
        "the log has everything up to position 3\n"
        "3 lines were refused as duplicates; 5 are in the log\n"
    ),
    "keep_a_place": (
        "read on from offset 0: sunrise, noon\n"
        "read on from offset 2: sunset\n"
        "from 11:00 on: noon, sunset; the latest is 2 at 20:00\n"
    ),
    "broker": (
        "sent again: a duplicate of offset 0\n"
        "before the end: 0 of 1 records stable, shop holds them back\n"
        "its last batch: up to sequence 0, from offset 0 on\n"
        "the end: committed, 1 of 1 records stable, offset committed: 7\n"
        "left behind: aborted, its owner hears StaleEpoch\n"
    ),
    "exactly_once": (
        "given up: 0 invoices, offset committed: None\ncommitted: 1 invoices, offset committed: 1\n"
    ),
}


def test_the_benchmark_runs() -> None:
    program = [sys.executable, str(EXAMPLES.parent / "bench.py"), "--quick"]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 0 and "oncelog send_many" in done.stdout, done.stderr


@pytest.mark.parametrize("name", SAID)
def test_an_example_says_what_it_should(name: str) -> None:
    program = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")]
    done = subprocess.run(program, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, SAID[name], "")


@pytest.mark.parametrize(
    ("text", "start", "said"),
    [(PACKAGE / "README.md", "", "0 b'hello'"), (PACKAGE.parent.parent / "README.md", "import oncelog\n", "b'hello'")],
    ids=["the package's", "the repository's"],
)
def test_the_first_program_of_a_readme_runs(tmp_path: Path, text: Path, start: str, said: str) -> None:
    found = re.search(r"```python\n(.*?)```", text.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    file = tmp_path / "words.py"
    file.write_text(start + found[1], encoding="utf-8")
    program = [sys.executable, "-W", "error", str(file)]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, said, "")


def test_a_line_of_the_bank_is_one_write_however_python_buffers() -> None:
    tell = (
        "import io, os, sys; sys.path.insert(0, sys.argv[1]); import bank\n"
        "class Raw(io.FileIO):\n"
        "    def write(self, data): os.write(2, b'w'); return super().write(data)\n"
        "sys.stdout = io.TextIOWrapper(Raw(1, 'wb', closefd=False), write_through=True)\n"
        "bank.say('resent', 3, 4)\n"
    )
    done = subprocess.run([sys.executable, "-c", tell, str(EXAMPLES)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("resent 3 4\n", "w")
