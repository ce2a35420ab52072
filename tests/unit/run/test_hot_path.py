"""What keeps logging fast is structure, and structure can be asserted; times are in `make bench`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import mlops_sdk

PACKAGE = str(Path(mlops_sdk.__file__).parent)


def _frames_of(call: Any) -> list[tuple[str, str]]:
    """(file, function) of every frame of ours that `call` enters."""
    seen: list[tuple[str, str]] = []

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            seen.append((frame.f_code.co_filename, frame.f_code.co_name))

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return seen


@pytest.mark.parametrize("mode, frames, files", [("mmap", 2, 2), ("append", 3, 3)])
def test_log_metric_reaches_the_journal_in_few_frames(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, frames: int, files: int
) -> None:
    monkeypatch.setenv("MLOPS_JOURNAL", mode)
    with mlops_sdk.start_run(tracking_uri=tmp_path, capture=False, system_metrics=False) as run:
        run.log_metric("loss", 0.5, step=0)
        seen = _frames_of(lambda: run.log_metric("loss", 0.25, step=1))
        many = _frames_of(lambda: run.log_metrics({"loss": 0.25}, step=2))
    assert len(seen) <= frames, seen
    assert len({file for file, _ in seen}) <= files
    assert len(many) <= frames, many


def _child(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


_STANDARD = """
import sys
def foreign():
    standard = sys.stdlib_module_names
    return sorted({n.partition('.')[0] for n in sys.modules} - standard - {'mlops_sdk', '__main__', 'sitecustomize'} - before)
before = {n.partition('.')[0] for n in sys.modules}
"""


def test_import_loads_no_third_party_module_and_touches_no_file(tmp_path: Path) -> None:
    assert _child(_STANDARD + "import mlops_sdk; print(foreign())") == "[]"
    assert list(tmp_path.iterdir()) == []


def test_start_and_the_first_metric_load_none_either_on_the_calling_thread(tmp_path: Path) -> None:
    code = _STANDARD + (
        "import threading\n"
        "class Watch:\n"
        "    seen = set()\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if threading.current_thread() is threading.main_thread(): self.seen.add(name.partition('.')[0])\n"
        "sys.meta_path.insert(0, Watch())\n"
        "import mlops_sdk\n"
        "run = mlops_sdk.start_run(tracking_uri=sys.argv[1], params={'lr': 0.1})\n"
        "run.log_metric('loss', 0.5, step=0)\n"
        "loaded = Watch.seen & set(sys.modules)\n"
        "seen = sorted(loaded - set(sys.stdlib_module_names) - before - {'mlops_sdk'})\n"
        "print(seen)\n"
        "run.finish()\n"
    )
    assert _child(code, str(tmp_path)).splitlines()[-1] == "[]"


def test_a_disabled_run_writes_nothing_and_enters_one_frame(tmp_path: Path) -> None:
    run = mlops_sdk.start_run(tracking_uri=tmp_path / "store", mode="disabled")
    assert len(_frames_of(lambda: run.log_metric("loss", 0.5))) == 1
    run.log_params({"a": 1})
    assert not run.log_text("x", "x.txt")
    run.finish()
    assert not (tmp_path / "store").exists()


def test_a_short_run_needs_neither_numpy_nor_sqlite_utils(tmp_path: Path) -> None:
    code = (
        "import sys, mlops_sdk\n"
        "with mlops_sdk.start_run(tracking_uri=sys.argv[1], capture=False, system_metrics=False) as run:\n"
        "    for step in range(100): run.log_metric('loss', 0.5, step=step)\n"
        "print([n for n in ('numpy', 'pcodec', 'sqlite_utils', 'psutil') if n in sys.modules])\n"
    )
    _child(code, str(tmp_path))  # the first run makes the schema
    assert _child(code, str(tmp_path)) == "[]"
