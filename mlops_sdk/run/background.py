"""What is captured around a run, off the path of `start_run`, and endings that outlast `finish()`."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from mlops_sdk._logging import warn
from mlops_sdk.capture.seeds import take_states
from mlops_sdk.errors import InvalidValueError, MlopsError
from mlops_sdk.journal.records import Kind

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict
    from mlops_sdk.capture.output import OutputTail
    from mlops_sdk.capture.system_metrics import SystemSampler

PARTS = frozenset({"git", "diff", "packages", "argv", "system", "stdout"})
DEFAULT_PARTS = PARTS - {"diff"}

_closings: set[threading.Thread] = set()
CLOSING_LIMIT_S = 5.0
_PATIENCE_S = 0.25


def chosen_parts(capture: bool | set[str] | frozenset[str]) -> frozenset[str]:
    """Which parts `capture=` means.

    Raises
    ------
    InvalidValueError
        If one of them is not known.
    """
    if isinstance(capture, bool):
        return DEFAULT_PARTS if capture else frozenset()
    if isinstance(capture, str) or not isinstance(capture, Iterable):
        raise InvalidValueError(f"capture is {capture!r}: give True, False or a set such as {{'git', 'packages'}}")
    unknown = set(capture) - PARTS
    if unknown:
        raise InvalidValueError(f"capture knows {', '.join(sorted(PARTS))}, not {', '.join(sorted(map(str, unknown)))}")
    return frozenset(capture)


class Background:
    """Capture, output tail and system metrics of one run.

    Parameters
    ----------
    parts : frozenset of str
    emit : callable
        Takes (kind, payload) of a record.
    emit_metrics : callable or None
        Takes a mapping of system metrics; None: no sampling.
    """

    def __init__(
        self,
        parts: frozenset[str],
        emit: Callable[[Kind, JsonDict], None],
        emit_metrics: Callable[[dict[str, float]], None] | None,
    ) -> None:
        self._parts = parts
        self._emit = emit
        self._thread: threading.Thread | None = None
        self._tail: OutputTail | None = None
        self._sampler: SystemSampler | None = None
        self._emit_metrics = emit_metrics
        self._cwd = os.getcwd() if os.path.isdir(os.curdir) else os.sep
        self._argv = list(sys.orig_argv)
        self._states = take_states() if "system" in parts else {}
        self._hurry = threading.Event()
        self._is_stopped = False

    def start(self) -> None:
        """Begin; nothing of it happens on the calling thread but the wrapping of the output streams."""
        if "stdout" in self._parts:
            from mlops_sdk.capture.output import OutputTail

            self._tail = OutputTail()
            self._tail.install()
        if self._parts or self._emit_metrics is not None:
            self._thread = threading.Thread(target=self._capture, name="mlops-capture", daemon=True)
            with contextlib.suppress(RuntimeError):  # the interpreter is ending
                self._thread.start()

    def _capture(self) -> None:
        self._hurry.wait(_PATIENCE_S)  # the first steps of a training, or all of a short one, come first
        for part, capture in (("system", self._system), ("git", self._git), ("packages", self._packages)):
            if part in self._parts or (part == "git" and "diff" in self._parts):
                _say_failure(part, partial(self._record, capture))
        if self._emit_metrics is not None and not self._is_stopped:
            _say_failure("system metrics", self._sample)

    def _record(self, capture: Callable[[], JsonDict]) -> None:
        self._emit(Kind.ENVIRONMENT, capture())

    def _sample(self) -> None:
        from mlops_sdk.capture.system_metrics import SystemSampler

        assert self._emit_metrics is not None
        self._sampler = SystemSampler(emit=self._emit_metrics)
        self._sampler.start()

    def _git(self) -> JsonDict:
        from mlops_sdk.capture.git import capture_git

        return {"git": capture_git(self._cwd, diff="diff" in self._parts)}

    def _packages(self) -> JsonDict:
        from mlops_sdk.capture.environment import capture_environment

        captured = capture_environment()
        packages = {"digest": captured.pop("digest", ""), "packages": captured.pop("packages", [])}
        return {"python": captured, "packages": packages}

    def _system(self) -> JsonDict:
        from mlops_sdk.capture.redact import redact_argv
        from mlops_sdk.capture.seeds import capture_seeds
        from mlops_sdk.capture.system import capture_system

        captured: dict[str, Any] = {"system": capture_system(), "seeds": capture_seeds(self._states), "cwd": self._cwd}
        if "argv" in self._parts:
            captured["argv"] = redact_argv(self._argv)
        return captured

    def wait(self, timeout_s: float) -> bool:
        """Wait for the capture; returns whether it is done."""
        if self._thread is None or not self._thread.is_alive():
            return True
        if timeout_s <= 0:
            return False
        self._hurry.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def stop(self) -> JsonDict:
        """Stop sampling and the output tail; returns what the tail holds, as a payload."""
        self._is_stopped = True
        if self._sampler is not None:
            self._sampler.stop(timeout_s=0.5)
        if self._tail is None:
            return {}
        tail, self._tail = self._tail, None
        tail.uninstall()
        text = tail.text()
        return {"output": text} if text else {}


def _say_failure(what: str, action: Callable[[], None]) -> None:
    """Run `action`; one part that fails (its module cannot be read, say) must not cost the others."""
    try:
        action()
    except (MlopsError, ValueError):  # a full or closed journal, which has said so itself
        return
    except Exception as error:
        warn("mlops_sdk: %s could not be captured: %s: %s", what, type(error).__name__, error)


def close_later(close: Callable[[], None]) -> threading.Thread:
    """Run `close` in a thread of its own, which interpreter exit waits for, within a bound; returns the thread."""
    thread = threading.Thread(target=close, name="mlops-close", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        close()
        return thread
    _closings.difference_update([other for other in _closings if not other.is_alive()])
    _closings.add(thread)
    return thread


def bounded(action: Callable[[], None], limit_s: float) -> None:
    """Run `action` in a thread and wait for it at most so long; here and now when no thread can be started."""
    thread = threading.Thread(target=_quietly, args=(action,), name="mlops-last", daemon=True)
    try:
        thread.start()
    except RuntimeError:
        _quietly(action)
        return
    thread.join(limit_s)


def _quietly(action: Callable[[], None]) -> None:
    with contextlib.suppress(MlopsError, OSError):
        action()


def wait_for_closings(limit_s: float = CLOSING_LIMIT_S) -> None:
    """Wait for endings that still go on."""
    deadline = time.monotonic() + limit_s
    for thread in list(_closings):
        thread.join(max(0.0, deadline - time.monotonic()))


def say_last(label: str, parts: list[str]) -> None:
    """The last line of a run that did not go smoothly."""
    warn("mlops_sdk: run %s ended with %s; run.health() says more", label, ", ".join(parts))
