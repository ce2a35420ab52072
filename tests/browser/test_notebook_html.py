"""In a real browser: hostile text in every field runs nothing. Skipped where there is no Chromium."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from mlops_sdk.markup.cards import card, facts, table
from mlops_sdk.markup.charts import sparkline
from mlops_sdk.markup.elements import element, join
from tests.unit.markup.safety import HOSTILE

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the markup is also checked by parsing it")
def test_nothing_fires(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    body = [
        card(hostile, facts({hostile: hostile}), table([hostile], [[hostile]]), sparkline([1, 2], title=hostile),
             element("span", hostile, title=hostile), subtitle=hostile, status=hostile)
        for hostile in HOSTILE
    ]  # fmt: skip
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><title>quiet</title>{join(body)}", encoding="utf-8")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=2000",
        f"--user-data-dir={tmp_path}/p",
    ]
    done = subprocess.run([CHROMIUM, *flags, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=60)
    assert "<title>quiet</title>" in done.stdout
    assert done.stdout.count("<h1") == 0
    assert "<script" not in done.stdout
