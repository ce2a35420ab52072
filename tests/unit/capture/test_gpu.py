"""The library is a stub in C with NVML's signatures, compiled once: what `ctypes` hands over is real."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_sdk.capture.gpu import GpuSampler, gpu_inventory

COMPILER = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
NOT_SUPPORTED, GPU_IS_LOST, UNKNOWN = 3, 15, 999

needs_compiler = pytest.mark.skipif(
    COMPILER is None or sys.platform == "win32", reason="no C compiler to build the stub library with"
)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("nvml") / "libnvidia-ml-stub.so"
    source = Path(__file__).with_name("nvml_stub.c")
    subprocess.run([str(COMPILER), "-shared", "-fPIC", "-o", built, source], check=True)
    return built


@pytest.fixture
def stub(library: Path) -> Iterator[ctypes.CDLL]:
    loaded = ctypes.CDLL(str(library))
    loaded.stub_fail(b"", -1, 0)
    loaded.stub_devices(2)
    before = loaded.stub_initialised()
    yield loaded
    loaded.stub_fail(b"", -1, 0)
    assert loaded.stub_initialised() == before  # whatever failed, the library is let go of


@pytest.fixture
def sampler(stub: ctypes.CDLL, library: Path) -> Iterator[GpuSampler]:
    sampler = GpuSampler(str(library))
    yield sampler
    sampler.close()


def numbers(index: int) -> dict[str, float]:
    return {
        f"system/gpu.{index}.utilization_percent": 90.0 + index,
        f"system/gpu.{index}.memory_used_bytes": float((index + 1) << 30),
        f"system/gpu.{index}.temperature_c": 60.0 + index,
        f"system/gpu.{index}.power_w": 300.5 + index / 1000,
    }


def test_without_the_library_there_is_nothing() -> None:
    assert gpu_inventory("no-such-library.so") == []
    assert GpuSampler("no-such-library.so").sample() == {}


@pytest.mark.skipif(sys.platform == "win32", reason="another library to load")
def test_a_library_that_is_another_gives_nothing() -> None:
    name = "libc.dylib" if sys.platform == "darwin" else "libc.so.6"
    assert gpu_inventory(name) == []
    assert GpuSampler(name).sample() == {}


@needs_compiler
def test_the_inventory(stub: ctypes.CDLL, library: Path) -> None:
    found = gpu_inventory(str(library))
    assert found == [
        {
            "index": index,
            "name": f"Stub GPU {index}",
            "uuid": f"GPU-000{index}",
            "memory_bytes": 80 << 30,
            "driver": "550.54.15",
            "cuda": "12.4",
        }
        for index in (0, 1)
    ]
    assert json.loads(json.dumps(found)) == found


@needs_compiler
@pytest.mark.parametrize(
    "function, key",
    [
        ("nvmlDeviceGetName", "name"),
        ("nvmlDeviceGetUUID", "uuid"),
        ("nvmlDeviceGetMemoryInfo", "memory_bytes"),
        ("nvmlSystemGetDriverVersion", "driver"),
        ("nvmlSystemGetCudaDriverVersion_v2", "cuda"),
    ],
)
def test_what_a_device_does_not_tell_is_missing(stub: ctypes.CDLL, library: Path, function: str, key: str) -> None:
    whole = gpu_inventory(str(library))
    stub.stub_fail(function.encode(), -1, NOT_SUPPORTED)
    assert gpu_inventory(str(library)) == [{k: v for k, v in gpu.items() if k != key} for gpu in whole]


@needs_compiler
@pytest.mark.parametrize("function", ["nvmlInit_v2", "nvmlDeviceGetCount_v2"])
def test_a_library_that_does_not_start(stub: ctypes.CDLL, library: Path, function: str) -> None:
    stub.stub_fail(function.encode(), -1, UNKNOWN)
    assert gpu_inventory(str(library)) == []
    sampler = GpuSampler(str(library))
    assert sampler.sample() == {}
    sampler.close()


@needs_compiler
def test_samples(sampler: GpuSampler) -> None:
    assert sampler.sample() == {**numbers(0), **numbers(1)}


@needs_compiler
@pytest.mark.parametrize(
    "function, key",
    [
        ("nvmlDeviceGetUtilizationRates", "utilization_percent"),
        ("nvmlDeviceGetMemoryInfo", "memory_used_bytes"),
        ("nvmlDeviceGetTemperature", "temperature_c"),
        ("nvmlDeviceGetPowerUsage", "power_w"),
    ],
)
def test_a_query_that_one_device_does_not_know(sampler: GpuSampler, stub: ctypes.CDLL, function: str, key: str) -> None:
    stub.stub_fail(function.encode(), 1, NOT_SUPPORTED)
    expected = {**numbers(0), **numbers(1)}
    del expected[f"system/gpu.1.{key}"]
    assert sampler.sample() == expected


@needs_compiler
def test_a_gpu_that_is_lost_and_comes_back(sampler: GpuSampler, stub: ctypes.CDLL) -> None:
    assert len(sampler.sample()) == 8
    stub.stub_fail(b"nvmlDeviceGetHandleByIndex_v2", 0, GPU_IS_LOST)
    assert sampler.sample() == numbers(1)
    stub.stub_fail(b"", -1, 0)
    assert len(sampler.sample()) == 8


@needs_compiler
def test_no_devices_and_too_many(sampler: GpuSampler, stub: ctypes.CDLL) -> None:
    stub.stub_devices(0)
    assert sampler.sample() == {}
    stub.stub_devices(-1)  # 4,294,967,295, as it is read
    assert len(sampler.sample()) == 64 * 4


@needs_compiler
def test_a_closed_sampler_starts_again(sampler: GpuSampler, stub: ctypes.CDLL) -> None:
    sampler.sample()
    assert stub.stub_initialised() == 1
    sampler.close()
    sampler.close()
    assert stub.stub_initialised() == 0
    assert len(sampler.sample()) == 8


def _sample_in_child(sampler: GpuSampler, library: str, results: multiprocessing.SimpleQueue[tuple[int, int]]) -> None:
    count = len(sampler.sample())
    results.put((count, ctypes.CDLL(library).stub_initialised()))


@needs_compiler
@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_forked_child_starts_the_library_for_itself(sampler: GpuSampler, library: Path) -> None:
    sampler.sample()
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=_sample_in_child, args=(sampler, str(library), results))
    child.start()
    assert results.get() == (8, 2)  # the parent's count came along with its memory
    child.join()
