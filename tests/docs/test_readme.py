"""The README's first screen has what a newcomer looks for, and nothing on the page leads nowhere.

Its Python blocks run in ``test_guides.py``.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import mlops_sdk

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TOP = "\n".join(README.splitlines()[:30])
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))


def test_the_first_thirty_lines_show_commands_code_output_picture_and_sql() -> None:
    assert TOP.startswith("# mlops_sdk\n")
    assert re.search(r"^make demo\b.*\nmake test\b", TOP, re.MULTILINE)
    code = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", TOP, re.DOTALL)
    assert code is not None, "code, with its output right after it"
    assert len(code[1].splitlines()) <= 10
    assert ".mlops/store.db" in TOP
    assert "SELECT" in TOP
    picture = re.search(r"!\[.+\]\((.+)\)", TOP)
    assert picture is not None
    assert (ROOT / picture[1]).read_bytes().startswith(b"\x89PNG")


def test_the_sql_on_the_page_reads_a_store(tmp_path: Path) -> None:
    with mlops_sdk.start_run(name="first", tracking_uri=tmp_path, capture=False, system_metrics=False) as run:
        run.log_metrics({"loss": 0.5})
        run.log_metrics({"loss": 0.25})
    query = re.search(r"`(SELECT [^`]+)`", TOP)
    assert query is not None
    with closing(sqlite3.connect(f"{(tmp_path / 'store.db').as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute(query[1]).fetchall() == [("first", "loss", 0.25, 0.25, 1)]


def test_there_are_at_most_four_badges() -> None:
    assert len(re.findall(r"\[!\[", README)) <= 4


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "index.md", *GUIDES], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not link.startswith("http") and not (page.parent / link).exists()] == []
