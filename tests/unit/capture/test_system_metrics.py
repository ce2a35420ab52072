from __future__ import annotations

import contextlib
import math
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from mlops_sdk.capture import system_metrics
from mlops_sdk.capture.system_metrics import SystemSampler

NO_GPU = "no-such-library.so"
ALWAYS = {
    "system/cpu_percent",
    "system/memory_percent",
    "system/process_memory_bytes",
    "system/process_cpu_percent",
    "system/process_threads",
    "system/disk_percent",
}
WAIT_S = 20.0


@contextlib.contextmanager
def running(emit: Callable[[dict[str, float]], None], interval_s: float = 0.02) -> Iterator[SystemSampler]:
    sampler = SystemSampler(interval_s, emit=emit, gpu_library=NO_GPU)
    sampler.start()
    try:
        yield sampler
    finally:
        sampler.stop(timeout_s=WAIT_S)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_first_sample_comes_at_once_and_has_every_key() -> None:
    samples: queue.Queue[dict[str, float]] = queue.Queue()
    with running(samples.put, interval_s=3600) as sampler:
        sample = samples.get(timeout=WAIT_S)
    assert sample.keys() >= ALWAYS
    assert all(type(value) is float and math.isfinite(value) for value in sample.values())
    assert sampler.last_error is None
    assert sample["system/process_memory_bytes"] > 1e6
    assert sample["system/process_threads"] >= 2
    if hasattr(os, "getloadavg"):
        assert sample.keys() >= {f"system/load_average_{minutes}m" for minutes in (1, 5, 15)}


def test_samples_go_on_and_counters_do_not_fall() -> None:
    samples: queue.Queue[dict[str, float]] = queue.Queue()
    with running(samples.put):
        first, second, third = (samples.get(timeout=WAIT_S) for _ in range(3))
    counters = {
        key for key in first if key.endswith(("_read_bytes", "_written_bytes", "_sent_bytes", "_received_bytes"))
    }
    for key in counters:
        assert 0 <= first[key] <= second[key] <= third[key]


def test_an_error_of_the_receiver_is_kept_and_sampling_goes_on() -> None:
    samples: queue.Queue[dict[str, float]] = queue.Queue()
    trouble = RuntimeError("full")

    def refuse_one(sample: dict[str, float]) -> None:
        samples.put(sample)
        if samples.qsize() == 1:
            raise trouble

    with running(refuse_one) as sampler:
        wait_until(lambda: samples.qsize() >= 3)
        assert sampler.last_error is trouble


def test_a_measurement_that_fails_costs_its_keys_only(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    def refuse(path: str) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(psutil, "disk_usage", refuse)
    monkeypatch.setattr(psutil, "disk_io_counters", lambda nowrap: None)
    samples: queue.Queue[dict[str, float]] = queue.Queue()
    with running(samples.put) as sampler:
        sample = samples.get(timeout=WAIT_S)
    assert ALWAYS - sample.keys() == {"system/disk_percent"}
    assert "system/disk_read_bytes" not in sample
    assert isinstance(sampler.last_error, PermissionError)


def test_without_psutil_the_thread_lives_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    samples: queue.Queue[dict[str, float]] = queue.Queue()
    with running(samples.put) as sampler:
        assert samples.get(timeout=WAIT_S) == {}
        assert samples.get(timeout=WAIT_S) == {}
        assert isinstance(sampler.last_error, ImportError)


def test_gpus_are_among_the_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    class OneGpu:
        def __init__(self, library: str) -> None:
            assert library == NO_GPU

        def sample(self) -> dict[str, float]:
            return {"system/gpu.0.power_w": 300.0}

        def close(self) -> None:
            closed.set()

    closed = threading.Event()
    monkeypatch.setattr(system_metrics, "GpuSampler", OneGpu)
    samples: queue.Queue[dict[str, float]] = queue.Queue()
    with running(samples.put):
        assert samples.get(timeout=WAIT_S)["system/gpu.0.power_w"] == 300.0
    assert closed.is_set()


def test_stop_does_not_wait_for_the_interval() -> None:
    samples: queue.Queue[dict[str, float]] = queue.Queue()
    with running(samples.put, interval_s=3600) as sampler:
        samples.get(timeout=WAIT_S)
        started = time.monotonic()
        sampler.stop(timeout_s=WAIT_S)
        assert time.monotonic() - started < WAIT_S / 2
        assert not sampler.is_running
    assert samples.empty()


def test_stop_waits_no_longer_than_it_is_told() -> None:
    entered, release = threading.Event(), threading.Event()

    def hang(sample: dict[str, float]) -> None:
        entered.set()
        release.wait(WAIT_S)

    sampler = SystemSampler(0.02, emit=hang, gpu_library=NO_GPU)
    sampler.start()
    assert entered.wait(WAIT_S)
    started = time.monotonic()
    sampler.stop(timeout_s=0.05)
    assert time.monotonic() - started < WAIT_S / 2
    release.set()


def test_start_and_stop_in_any_order() -> None:
    samples: queue.Queue[dict[str, float]] = queue.Queue()
    sampler = SystemSampler(0.02, emit=samples.put, gpu_library=NO_GPU)
    sampler.stop()
    sampler.start()
    sampler.start()
    assert sum(thread.name == "mlops-system" for thread in threading.enumerate()) == 1
    samples.get(timeout=WAIT_S)
    sampler.stop(timeout_s=WAIT_S)
    sampler.stop(timeout_s=WAIT_S)
    while not samples.empty():
        samples.get()
    sampler.start()
    assert samples.get(timeout=WAIT_S)
    sampler.stop(timeout_s=WAIT_S)
    assert not any(thread.name == "mlops-system" for thread in threading.enumerate())


def test_the_receiver_may_stop_it() -> None:
    calls: list[int] = []

    def stop(sample: dict[str, float]) -> None:
        calls.append(len(sample))
        sampler.stop(timeout_s=WAIT_S)

    sampler = SystemSampler(0.02, emit=stop, gpu_library=NO_GPU)
    sampler.start()
    wait_until(lambda: not sampler.is_running and bool(calls))
    assert len(calls) == 1


def test_a_thread_that_cannot_start_is_no_error_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    sampler = SystemSampler(emit=print, gpu_library=NO_GPU)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        sampler.start()
    assert isinstance(sampler.last_error, RuntimeError)
    sampler.stop()


@pytest.mark.parametrize("interval_s", [0.0, -1.0, math.nan, math.inf])
def test_an_interval_that_is_none_is_made_one(interval_s: float) -> None:
    samples: queue.Queue[dict[str, float]] = queue.Queue()
    with running(samples.put, interval_s):
        assert samples.get(timeout=WAIT_S)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_can_stop_and_start_it() -> None:
    samples: queue.Queue[dict[str, float]] = queue.Queue()
    with running(samples.put) as sampler:
        samples.get(timeout=WAIT_S)
        held, release = threading.Event(), threading.Event()

        def hold() -> None:  # as if the sampler's thread were in the middle of things at the fork
            with sampler._lock, sampler._ended._cond:  # type: ignore[attr-defined]
                held.set()
                release.wait()

        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            received: list[dict[str, float]] = []  # not the queue: its lock may have been held as well
            code = 1
            try:
                assert not sampler.is_running
                sampler.stop(timeout_s=60)
                sampler._emit = received.append
                sampler.start()
                wait_until(lambda: len(received) > 1)
                sampler.stop(timeout_s=WAIT_S)
                code = 0
            finally:
                os._exit(code)
        release.set()
        holder.join()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
