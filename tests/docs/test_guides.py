"""Every Python block of the guides runs, page by page, and prints what the page says it prints.

A page becomes a script with the same line numbers: its Python blocks stand where they stand, its shell lines that begin
with ``mlops`` call the command line, everything else is blank. A ``text`` block right after a block is its output, where
``...`` stands for anything.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "docs" / "index.md", *GUIDES]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END_OF_BLOCK = "\x1e"
PREAMBLE = (
    "import subprocess as _s, sys as _p; "
    "_mlops = lambda *words: (_p.stdout.flush(), _s.run([_p.executable, '-m', 'mlops_sdk.cli', *words], check=True))"
)
CHECKER = doctest.OutputChecker()
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is that of its first line of content, from 0."""

    language: str
    code: str
    line: int
    expected: str | None

    def as_python(self) -> list[str]:
        lines = self.code.splitlines()
        return lines if self.language == "python" else [_call(line) for line in lines]


def _call(line: str) -> str:
    """Python for a line of a shell block."""
    words = line.split("#", 1)[0].strip()
    return f"import shlex as _l; _mlops(*_l.split({words.removeprefix('mlops')!r}))" if _is_ours(line) else ""


def _is_ours(line: str) -> bool:
    return line.startswith("mlops ")


def blocks_of(text: str) -> Iterator[Block]:
    """Blocks that run: Python, and shell blocks with a line for `mlops`."""
    fences = list(FENCE.finditer(text))
    for fence, following in zip(fences, [*fences[1:], None], strict=True):
        language, code = fence[1], fence[2]
        if language != "python" and not (language == "bash" and any(map(_is_ours, code.splitlines()))):
            continue
        is_output = (
            following is not None and following[1] == "text" and not text[fence.end() : following.start()].strip()
        )
        line = text.count("\n", 0, fence.start()) + 1
        yield Block(language, code, line, following[2] if is_output and following is not None else None)


def script_of(text: str, blocks: list[Block]) -> str:
    """The page as a script, line for line."""
    lines = [""] * (text.count("\n") + 2)
    lines[0] = PREAMBLE
    for block in blocks:
        python = block.as_python()
        lines[block.line : block.line + len(python)] = python
        lines[block.line + len(python)] = f"print({END_OF_BLOCK!r}, end='', flush=True)"
    return "\n".join(lines)


def run_page(page: Path, directory: Path) -> tuple[list[Block], subprocess.CompletedProcess[str]]:
    text = page.read_text(encoding="utf-8")
    blocks = list(blocks_of(text))
    script = directory / f"{page.stem.replace('-', '_')}.py"
    script.write_text(script_of(text, blocks), encoding="utf-8")
    environment = os.environ | {"COLUMNS": "120", "PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"}
    return blocks, subprocess.run(
        [sys.executable, script.name],
        cwd=directory,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=100,
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_runs_and_prints_what_it_says(page: Path, tmp_path: Path) -> None:
    blocks, outcome = run_page(page, tmp_path)
    assert outcome.returncode == 0, f"{page.name}:\n{outcome.stdout}\n{outcome.stderr}"
    outputs = outcome.stdout.split(END_OF_BLOCK)[:-1]
    assert len(outputs) == len(blocks)
    for block, printed in zip(blocks, outputs, strict=True):
        if block.expected is not None and not CHECKER.check_output(block.expected, printed, FLAGS):
            example = doctest.Example(block.code, block.expected)
            pytest.fail(f"{page.name}:{block.line}\n{CHECKER.output_difference(example, printed, FLAGS)}")


def test_every_block_that_looks_like_python_is_run() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        n_fences = len(re.findall(r"^\s*(?:```|~~~)", text, re.MULTILINE))
        assert n_fences == 2 * len(FENCE.findall(text)), f"{page.name} has a fence that this test does not read"
        languages = {fence[1] for fence in FENCE.finditer(text)}
        assert languages <= {"python", "bash", "text", "sql"}, f"{page.name}: name the language of each block"


def test_every_guide_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert len(GUIDES) >= 5
    assert [page.name for page in GUIDES if f"guides/{page.name}" not in navigation] == []


def test_a_wrong_output_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n", encoding="utf-8")
    with pytest.raises(pytest.fail.Exception, match=r"page\.md:3"):
        test_page_runs_and_prints_what_it_says(page, tmp_path)


def test_an_error_names_the_line_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\nx = 1\nx / 0\n```\n", encoding="utf-8")
    _, outcome = run_page(page, tmp_path)
    assert 'page.py", line 5' in outcome.stderr
