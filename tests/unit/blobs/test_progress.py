"""The progress bar: where it shows, and that it is harmless."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from mlops_sdk.blobs.progress import BAR_FROM_BYTES, transfer_progress

TRANSFER = """
import sys
from mlops_sdk.blobs.progress import transfer_progress
total, label = int(sys.argv[1]), sys.argv[2]
stdout = sys.stdout
with transfer_progress(total, label) as progress:
    for _ in range(4):
        progress.update(total // 4)
    assert sys.stdout is stdout
progress.close()
print("rich" in sys.modules)
"""


def start(stderr: int, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm", "COLUMNS": "120"}
    environment.pop("NO_COLOR", None)
    return subprocess.Popen(
        [sys.executable, "-c", TRANSFER, *arguments], stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment
    )


def on_a_terminal(total_bytes: int, label: str) -> tuple[str, str]:
    """Run a transfer with a terminal as stderr; returns what it drew and printed."""
    if not hasattr(os, "openpty"):
        pytest.skip("this platform has no pseudo-terminals")
    ours, theirs = os.openpty()
    child = start(theirs, str(total_bytes), label)
    os.close(theirs)
    drawn = b""
    try:
        while chunk := os.read(ours, 65536):
            drawn += chunk
    except OSError:  # Linux's word for the other end being closed
        pass
    finally:
        os.close(ours)
    printed, _ = child.communicate(timeout=30)
    assert child.returncode == 0, drawn
    return drawn.decode(), printed.strip()


def test_a_terminal_shows_a_bar_with_label_and_sizes() -> None:
    drawn, printed = on_a_terminal(BAR_FROM_BYTES, "model.pt")
    assert "model.pt" in drawn
    assert "64.0 MiB" in drawn
    assert printed == "True"


def test_a_small_file_shows_nothing_and_imports_nothing() -> None:
    assert on_a_terminal(BAR_FROM_BYTES - 1, "model.pt") == ("", "False")


def test_without_a_terminal_nothing_is_shown_or_imported() -> None:
    child = start(subprocess.PIPE, str(10 * BAR_FROM_BYTES), "model.pt")
    assert child.communicate(timeout=30) == ("False\n", "")


def test_a_hostile_label_reaches_the_terminal_as_text() -> None:
    drawn, _ = on_a_terminal(BAR_FROM_BYTES, "\x1b]0;owned\x07[red]\u202e{task.id}" + "x" * 500)
    assert r"\x1b]0;owned\x07[red]\u202e{task.id}" in drawn
    assert "\x1b]0" not in drawn
    assert "\u202e" not in drawn
    assert "x" * 60 not in drawn


class HungUpTerminal(io.StringIO):
    """A terminal that fails from the n-th write on."""

    def __init__(self, n_writes: int) -> None:
        super().__init__()
        self.n_writes = n_writes

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.n_writes -= 1
        if self.n_writes < 0:
            raise OSError(5, "Input/output error")
        return super().write(text)


@pytest.mark.parametrize("n_writes", [0, 1, 2])
def test_a_terminal_that_hangs_up_does_not_stop_the_transfer(monkeypatch: pytest.MonkeyPatch, n_writes: int) -> None:
    monkeypatch.setenv("TERM", "xterm")
    clock = iter(range(1000))
    monkeypatch.setattr("mlops_sdk.blobs.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    terminal = HungUpTerminal(n_writes)
    monkeypatch.setattr(sys, "stderr", terminal)
    with transfer_progress(BAR_FROM_BYTES, "x") as progress:
        for _ in range(5):
            progress.update(1)
    assert terminal.n_writes < 0  # it did fail


def closed_stderr() -> object:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("make_stderr", [lambda: None, closed_stderr, object])
def test_no_usable_stderr_is_no_viewer(monkeypatch: pytest.MonkeyPatch, make_stderr: Callable[[], object]) -> None:
    monkeypatch.setattr(sys, "stderr", make_stderr())
    with transfer_progress(BAR_FROM_BYTES, "x") as progress:
        progress.update(1)


def test_a_notebook_is_a_viewer_without_being_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object())))
    with transfer_progress(BAR_FROM_BYTES, "model.pt") as progress:
        progress.update(BAR_FROM_BYTES)
    assert "model.pt" in stream.getvalue()


def test_an_interactive_shell_without_a_kernel_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    with transfer_progress(BAR_FROM_BYTES, "model.pt") as progress:
        progress.update(BAR_FROM_BYTES)
    assert stream.getvalue() == ""


def test_the_bar_is_taken_away_in_an_error_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = HungUpTerminal(10_000)
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(KeyError), transfer_progress(BAR_FROM_BYTES, "x"):
        raise KeyError("x")
    assert "\x1b[?25h" in terminal.getvalue()  # the cursor is back
