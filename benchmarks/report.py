"""The rows as Markdown: on the screen, in ``docs/benchmarks.md``, and the few that the README shows."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import mlops_sdk
from benchmarks.workloads import Row

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"(?s)(<!-- figures -->\n).*?(<!-- /figures -->)")
HEAD = "| what | measured | target | |\n|---|---|---|---|"


def machine() -> str:
    """What it was measured on, and when."""
    return (
        f"mlops_sdk {mlops_sdk.__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"{platform.system()} {platform.release().partition('-')[0]}, {_processor()}, {os.cpu_count()} cores, "
        f"{time.strftime('%Y-%m-%d')}"
    )


def _processor() -> str:
    try:
        found = re.search(r"(?m)^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def line(row: Row) -> str:
    """A row as a line of a table."""
    mark = "" if row.ok is None else "ok" if row.ok else "MISSED"
    return f"| {row.what} | {row.figure} | {row.target} | {mark} |"


def write_documents(rows: Sequence[Row]) -> None:
    """Put all rows into ``docs/benchmarks.md``, and those with a place there into ``README.md``."""
    table = "\n".join([HEAD, *(line(row) for row in rows)])
    page = ROOT / "docs" / "benchmarks.md"
    page.write_text(_filled(page.read_text(encoding="utf-8"), f"{machine()}\n\n{table}"), encoding="utf-8")
    shown = [f"| {row.what} | {row.figure} |" for row in rows if row.in_readme]
    readme = ROOT / "README.md"
    short = "\n".join(["| what | measured |\n|---|---|", *shown, f"\n{machine()}"])
    readme.write_text(_filled(readme.read_text(encoding="utf-8"), short), encoding="utf-8")


def _filled(text: str, block: str) -> str:
    filled, n = _BLOCK.subn(lambda found: f"{found[1]}{block}\n{found[2]}", text)
    if n != 1:
        raise ValueError("a page needs one block between <!-- figures --> and <!-- /figures -->")
    return filled
