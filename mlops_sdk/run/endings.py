"""How the process ends, seen without getting in its way.

An uncaught exception, ``sys.exit(n)``, a signal that would kill the process, and the plain end of the script each leave
their mark on the runs that are still open. What nobody saw (SIGKILL, a segfault, a power cut) is found out by the next
opener of the store.

Signal handlers are installed only over the default ones, only in the main thread, and only record and chain. A forked child
has the default ones again.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, NoReturn

from mlops_sdk import _forking
from mlops_sdk.run import active

_CLOSE_LIMIT_S = 1.0
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK") if hasattr(signal, name))


@dataclass(frozen=True, slots=True)
class Ending:
    """How something ended.

    Attributes
    ----------
    status : {"FINISHED", "FAILED", "KILLED"}
    reason : str or None
        ``exception``, ``exit:N``, ``signal:N``.
    error : BaseException or None
    """

    status: str = "FINISHED"
    reason: str | None = None
    error: BaseException | None = None


class _State:
    """What this process has seen so far."""

    is_installed = False
    ending: Ending | None = None
    signals: tuple[int, ...] = ()
    pid = 0


def install() -> None:
    """Watch the process's ending; idempotent."""
    if _State.is_installed and _State.pid == os.getpid():
        return
    is_fork = _State.is_installed
    _State.is_installed, _State.pid, _State.ending, _State.signals = True, os.getpid(), None, ()
    if is_fork:
        _finalize_in_worker()
        return
    atexit.register(_at_exit)
    _finalize_in_worker()
    sys.excepthook = _watch_exceptions(sys.excepthook)
    sys.exit = _exit
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            _watch_signal(number)


def of_exception(error: BaseException | None) -> Ending:
    """The ending that an exception leaving a ``with`` block, or the script, means."""
    if error is None:
        return Ending()
    if isinstance(error, KeyboardInterrupt):
        seen = signal.SIGINT in _State.signals
        return Ending("KILLED", f"signal:{int(signal.SIGINT)}" if seen else "exception", error)
    if isinstance(error, SystemExit):
        return _of_exit_code(error.code)
    return Ending("FAILED", "exception", error)


def signals_seen() -> tuple[int, ...]:
    """Numbers of the signals this process was sent and went on after."""
    return _State.signals


def _of_exit_code(code: object) -> Ending:
    if code is None or code == 0:
        return Ending()
    return Ending("FAILED", f"exit:{code if isinstance(code, int) else 1}")


# -- exceptions and sys.exit ---------------------------------------------------------------------------------------------


def _watch_exceptions(chained: Any) -> Any:
    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        _State.ending = of_exception(error)
        chained(kind, error, trace)

    return hook


class _Exit(SystemExit):
    """A SystemExit that notices when nobody caught it.

    The interpreter drops an uncaught SystemExit after the last frame is gone; one that was caught is dropped while the
    code that caught it is running.
    """

    def __del__(self) -> None:
        if sys._getframe().f_back is None and threading.current_thread() is threading.main_thread():
            _State.ending = _of_exit_code(self.code)


_Exit.__name__ = _Exit.__qualname__ = "SystemExit"
_Exit.__module__ = "builtins"


def _exit(status: object = None, /) -> NoReturn:
    """Exit the interpreter by raising SystemExit(status)."""
    raise _Exit(status)


# -- signals -------------------------------------------------------------------------------------------------------------


def _watch_signal(number: int) -> None:
    standing = signal.getsignal(number)
    if standing is signal.SIG_DFL or standing is signal.default_int_handler:
        signal.signal(number, _on_interrupt if standing is signal.default_int_handler else _on_deadly_signal)


def _on_interrupt(number: int, frame: FrameType | None) -> None:
    _State.signals += (number,)
    signal.default_int_handler(number, frame)


def _on_deadly_signal(number: int, _frame: FrameType | None) -> None:
    """Record, then die of the signal as if nobody had looked."""
    _State.signals += (number,)
    for run in active.all_open():
        run._record_end(Ending("KILLED", f"signal:{number}"))
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _unwatch_signals() -> None:
    """In a forked child, have the system's own handlers again.

    A handler in Python runs only when the main thread is back in the interpreter: a signal that arrives just before it waits
    for a lock is not seen until the wait is over, and a pool that ends its workers by SIGTERM waits for ever. Without ours
    the child dies at once; whoever opens the store next finds out.
    """
    for number in _SIGNALS if _State.is_installed else ():
        ours = signal.getsignal(number)
        if ours is _on_deadly_signal:
            signal.signal(number, signal.SIG_DFL)
        elif ours is _on_interrupt:
            signal.signal(number, signal.default_int_handler)


_masks: dict[int, set[Any]] = {}
"""By thread that forks: the signals that were blocked before."""


def _hold_signals() -> None:
    """Around a fork: a signal that the child gets before it has its handlers back would be taken by ours, and lost."""
    if _State.is_installed and hasattr(signal, "pthread_sigmask"):
        _masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _let_signals_in() -> None:
    mask = _masks.pop(threading.get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _begin_child() -> None:
    _unwatch_signals()
    _let_signals_in()


_forking.watch(_forking.RUN, before=_hold_signals, after_in_parent=_let_signals_in, after_in_child=_begin_child)


# -- the end -------------------------------------------------------------------------------------------------------------


def _at_exit() -> None:
    """Finish what is still open, innermost first, all within one bound."""
    if _State.pid != os.getpid():
        return
    ending = _State.ending or Ending()
    from mlops_sdk.run import background
    from mlops_sdk.stores.opening import close_places

    deadline = time.monotonic() + background.CLOSING_LIMIT_S
    for run in reversed(active.all_open()):
        run._finish(_State.ending or run._cell_ending or ending, deadline=deadline)
    background.wait_for_closings(max(0.0, deadline - time.monotonic()))
    background.bounded(close_places, _CLOSE_LIMIT_S)
    if isinstance(ending.error, KeyboardInterrupt):
        _restore_interrupted_exit()


def _restore_interrupted_exit() -> None:
    """Have the interpreter still end by SIGINT, so that a shell loop around the script stops too.

    CPython notes that an interrupt was not handled where code compiled from text ends, and forgets it when other such code
    runs: defining a dataclass is enough. A text that ends by an interrupt sets the note again.
    """
    try:
        exec("raise KeyboardInterrupt")  # noqa: S102 - a constant
    except KeyboardInterrupt:
        return


def _finalize_in_worker() -> None:
    """Children of multiprocessing end without `atexit`; their own finalizers run."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None and getattr(sys.modules.get("multiprocessing.process"), "parent_process", lambda: None)():
        util.Finalize(None, _at_exit, exitpriority=100)
