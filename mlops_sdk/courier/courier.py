"""The courier's thread: one per process, started when first needed, never needed for `log_*` to be safe.

References
----------
.. [1] ``docs/adr/0004-courier.md``
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_sdk import _forking
from mlops_sdk._logging import log
from mlops_sdk.courier import recovery
from mlops_sdk.courier.route import Opened, Route, Sink
from mlops_sdk.errors import SequenceGapError

if TYPE_CHECKING:
    from mlops_sdk.journal.writer import Journal

_SHARE = 0.02
"""Of a core, while no backlog asks for more."""
_SWEEP_S = 30.0
_JOIN_S = 2.0


class Courier:
    """Walks the routes of this process in a daemon thread.

    Parameters
    ----------
    period_s : float
        How long a record waits in the journal at most, while rounds are cheap.

    Notes
    -----
    Thread-safe. Its thread is joined before a fork and started again after it; in the child the routes are gone, and a
    run that logs there gets a journal and a route of its own.
    """

    def __init__(self, period_s: float = 1.0) -> None:
        self.period_s = period_s
        self.last_error: BaseException | None = None
        self.deaths = 0
        self._routes: list[Route] = []
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._is_stopping = False
        # A SimpleQueue, unlike an Event, may be signalled from a signal handler that interrupts a signalling thread.
        self._wakes: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._places: dict[Path, Callable[[], recovery.Report]] = {}
        self._sweep_at = 0.0
        self._deliver_at = 0.0
        self._was_running = False

    # -- routes --------------------------------------------------------------------------------------------------

    def add(self, journal: Journal, places: list[Opened]) -> Route:
        """Carry `journal` to the stores of `places` from now on."""
        route = Route(journal, [Sink(place=place) for place in places])
        journal.on_roll(self.wake)
        with self._lock:
            self._routes.append(route)
        self.start()
        return route

    def add_second(self, first: Route, place: Opened) -> Route:
        """Carry the journal of a route of another courier to one store more, at a pace of its own."""
        route = Route(first.journal, [Sink(place=place)], is_second=True, beside=[first])
        first.beside.append(route)
        with self._lock:
            self._routes.append(route)
        self.start()
        return route

    def watch(self, root: Path, place: Opened, sweep: Callable[[], recovery.Report] | None = None) -> None:
        """Look for journals of dead writers in `root` every 30 seconds; `sweep` delivers them, by default to `place`."""
        with self._lock:
            self._places[root] = sweep or (lambda: recovery.sweep(place.store, root))
            self._sweep_at = min(self._sweep_at, time.monotonic() + 1.0)

    def forget(self, route: Route) -> None:
        """Stop carrying `route`."""
        with self._lock:
            if route in self._routes:
                self._routes.remove(route)
            if not self._routes:
                self._places.clear()

    def deliver(self, route: Route, timeout_s: float, then: Callable[[], None] | None = None) -> bool:
        """Carry all that `route` holds now; returns whether all of it arrived in time.

        Parameters
        ----------
        route : Route
        timeout_s : float
            Bound on the wait; the work goes on behind it.
        then : callable, optional
            Called by the same thread after everything has arrived (housekeeping); its errors are kept in the route.

        Notes
        -----
        The work is done in a thread of its own, so that a disk that hangs cannot hold the caller; when no thread can be
        started any more (interpreter shutdown), in the calling thread.
        """
        outcome: list[bool] = []
        work = threading.Thread(target=_deliver_now, args=(route, then, outcome), name="mlops-deliver", daemon=True)
        try:
            work.start()
        except RuntimeError:
            _deliver_now(route, then, outcome, lock_timeout_s=timeout_s)
        else:
            work.join(timeout_s)
        return bool(outcome and outcome[0])

    def deliver_to(self, place: Opened | None, timeout_s: float) -> bool:
        """Carry what this process still holds for the store of `place` (None: of any); returns whether all arrived."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            routes = [r for r in self._routes if any(place in (None, sink.place) for sink in r.sinks) and r.waiting]
        arrived = [self.deliver(route, max(0.0, deadline - time.monotonic())) for route in routes]
        return all(arrived)

    # -- the thread ----------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Have a round begin now; safe in signal handlers."""
        self._wakes.put(True)
        if not self._is_running():
            self.start()

    def start(self) -> None:
        """Start the thread unless it runs; quiet when the interpreter is ending."""
        with self._lock:
            self._is_stopping = False  # a thread that has not noticed yet goes on
            if self._is_running():
                return
            thread = threading.Thread(target=self._run, name="mlops-courier", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # can't start new thread at interpreter shutdown: `deliver` works without one
                return
            self._thread = thread

    def _is_running(self) -> bool:
        thread = self._thread
        return thread is not None and thread.is_alive()

    def stop(self, timeout_s: float = _JOIN_S) -> bool:
        """Ask the thread to end and wait for it; returns whether it did."""
        with self._lock:
            thread = self._thread
            if thread is None or thread is threading.current_thread():
                return True
            self._is_stopping = True
        self._wakes.put(True)
        thread.join(timeout_s)
        return not thread.is_alive()

    def _run(self) -> None:
        delay = 0.05
        while self._goes_on():
            try:
                self._wait(delay)
                delay = 0.0 if self._is_stopping else self._round()
            except BaseException as error:  # noqa: BLE001 - nothing that a store raises may end delivery for good
                self.last_error = error
                self.deaths += 1
                with contextlib.suppress(Exception):  # a handler of the program's own may raise
                    log().exception("mlops_sdk: the courier met an error and goes on")
                delay = self.period_s

    def _goes_on(self) -> bool:
        """Whether to do another round; if not, the thread is given up in the same step, so that `start` makes one."""
        with self._lock:
            if self._is_stopping:
                self._thread = None
            return not self._is_stopping

    def _wait(self, delay: float) -> None:
        try:
            self._wakes.get(timeout=delay)
            while True:
                self._wakes.get_nowait()
        except queue.Empty:
            return

    def _round(self) -> float:
        """One round over all routes; returns the seconds until the next.

        Every round makes safe what was logged. Deliveries follow when they may cost again; a core is meant, not time
        that went by while a disk or another process was waited for.
        """
        began = time.thread_time()
        is_due = time.monotonic() >= self._deliver_at
        with self._lock:
            routes = list(self._routes)
        for route in routes:
            self._visit(route, is_due=is_due)
        self._sweep()
        if is_due:
            self._deliver_at = time.monotonic() + (time.thread_time() - began) / _SHARE
        if any(route.is_behind and not _is_failing(route) for route in routes):
            return 0.01
        return self.period_s if routes else _SWEEP_S

    def _visit(self, route: Route, *, is_due: bool) -> None:
        if not route.lock.acquire(blocking=False):
            return  # a flush is at it
        try:
            if route.journal.is_abandoned:
                self.forget(route)
                return
            route.beat()
            route.keep_safe()
            if (is_due or route.is_behind) and not route.deliver():
                route.keep_safe()
        except Exception as error:  # noqa: BLE001 - a defect in one route must not keep the others waiting
            route.note(error)
        finally:
            route.lock.release()

    def _sweep(self) -> None:
        if time.monotonic() < self._sweep_at:
            return
        self._sweep_at = time.monotonic() + _SWEEP_S
        with self._lock:
            sweeps = list(self._places.values())
        for sweep in sweeps:
            try:
                errors = sweep().errors
            except Exception as error:  # noqa: BLE001 - a store that cannot be opened must not hide the other places
                errors = [error]
            self.last_error = errors[-1] if errors else self.last_error

    # -- forks ---------------------------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Join the thread, so that no lock and no transaction of it is copied into the child."""
        if self._is_running():  # else it may be another thread's fork that stopped it
            self._was_running = True
            self.stop()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._was_running:
            self._was_running = False
            self.start()

    def after_fork_in_child(self) -> None:
        """Begin with nothing: the routes are the parent's."""
        self.__init__(self.period_s)  # type: ignore[misc]


def _is_failing(route: Route) -> bool:
    return any(sink.error is not None for sink in route.sinks)


def _deliver_now(
    route: Route, then: Callable[[], None] | None, outcome: list[bool], *, lock_timeout_s: float = -1
) -> None:
    if not route.lock.acquire(timeout=lock_timeout_s):
        return
    try:
        arrived = route.deliver(now=True)
        if not arrived and any(isinstance(sink.error, SequenceGapError) for sink in route.sinks):
            arrived = route.deliver(now=True)  # the store forgot; now it is known from where on to send again
        outcome.append(arrived)
        if arrived and then is not None:
            then()
    except Exception as error:  # noqa: BLE001 - kept and reported; the thread has nobody to raise to
        route.note(error)
    finally:
        route.lock.release()


_courier = Courier()
_uplink = Courier()


def courier() -> Courier:
    """The courier of this process, to local stores."""
    return _courier


def uplink() -> Courier:
    """The courier of this process to servers: a thread of its own, for a network may take its time."""
    return _uplink


for _each in (_courier, _uplink):
    _forking.watch(
        _forking.COURIER,
        before=_each.before_fork,
        after_in_parent=_each.after_fork_in_parent,
        after_in_child=_each.after_fork_in_child,
    )
