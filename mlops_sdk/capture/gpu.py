"""GPUs through NVIDIA's management library, called by `ctypes`: no package to install, nothing to load without a GPU.

Whatever fails (no library, no driver, a query that the device does not know, a device that falls off the bus) costs the
numbers concerned and nothing else.

References
----------
.. [1] NVML API Reference Guide, https://docs.nvidia.com/deploy/nvml-api/
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

LIBRARY = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
DEVICE_LIMIT = 64
_TEXT_BYTES = 96
_SUCCESS = 0
_TEMPERATURE_GPU = 0

# What may go wrong in a call: the library's own codes, a library without the symbol, one that cannot be loaded, and a
# string that is no UTF-8.
_FAILURES = (OSError, AttributeError, ValueError)


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Nvml:
    """The library, initialised.

    Raises
    ------
    OSError
        If it is not there, or any of its functions returns another code than success.
    """

    def __init__(self, library: str) -> None:
        self._library = ctypes.CDLL(library)
        self.call("nvmlInit_v2")

    def call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code != _SUCCESS:
            raise OSError(f"{name} returned {code}")

    def close(self) -> None:
        with contextlib.suppress(*_FAILURES):
            self.call("nvmlShutdown")

    def devices(self) -> Iterator[tuple[int, ctypes.c_void_p]]:
        """Index and handle of every device that answers."""
        count = ctypes.c_uint()
        self.call("nvmlDeviceGetCount_v2", ctypes.byref(count))
        for index in range(min(count.value, DEVICE_LIMIT)):
            handle = ctypes.c_void_p()
            with contextlib.suppress(*_FAILURES):
                self.call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(index), ctypes.byref(handle))
                yield index, handle

    def text(self, name: str, *arguments: Any) -> str:
        buffer = ctypes.create_string_buffer(_TEXT_BYTES)
        self.call(name, *arguments, buffer, ctypes.c_uint(_TEXT_BYTES))
        return buffer.value.decode("utf-8", "backslashreplace")

    def cuda_version(self) -> str:
        version = ctypes.c_int()
        self.call("nvmlSystemGetCudaDriverVersion_v2", ctypes.byref(version))
        return f"{version.value // 1000}.{version.value % 1000 // 10}"

    def memory(self, handle: ctypes.c_void_p) -> _Memory:
        memory = _Memory()
        self.call("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory))
        return memory

    def utilization(self, handle: ctypes.c_void_p) -> _Utilization:
        utilization = _Utilization()
        self.call("nvmlDeviceGetUtilizationRates", handle, ctypes.byref(utilization))
        return utilization

    def number(self, name: str, *arguments: Any) -> int:
        value = ctypes.c_uint()
        self.call(name, *arguments, ctypes.byref(value))
        return value.value


def gpu_inventory(library: str = LIBRARY) -> list[dict[str, Any]]:
    """The NVIDIA GPUs of this machine.

    Parameters
    ----------
    library : str
        Name or path of the management library.

    Returns
    -------
    list of dict
        One for each device, in the library's order (which ``CUDA_VISIBLE_DEVICES`` does not change): ``index``, and as far
        as it could be had ``name``, ``uuid``, ``memory_bytes``, ``driver`` and ``cuda`` (the newest that the driver takes).
        Empty where there is no GPU, no driver or no library.

    Notes
    -----
    Never raises. Loading a driver that sleeps may take a second; the interpreter's other threads go on.
    """
    try:
        nvml = _Nvml(library)
    except _FAILURES:
        return []
    try:
        return [_described(nvml, index, handle) for index, handle in nvml.devices()]
    except _FAILURES:
        return []
    finally:
        nvml.close()


def _described(nvml: _Nvml, index: int, handle: ctypes.c_void_p) -> dict[str, Any]:
    queries: dict[str, Callable[[], Any]] = {
        "name": lambda: nvml.text("nvmlDeviceGetName", handle),
        "uuid": lambda: nvml.text("nvmlDeviceGetUUID", handle),
        "memory_bytes": lambda: int(nvml.memory(handle).total),
        "driver": lambda: nvml.text("nvmlSystemGetDriverVersion"),
        "cuda": nvml.cuda_version,
    }
    return {"index": index} | _answered(queries)


def _answered(queries: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """The answers of the queries that have one."""
    answers: dict[str, Any] = {}
    for name, query in queries.items():
        with contextlib.suppress(*_FAILURES):
            answers[name] = query()
    return answers


class GpuSampler:
    """Load, memory, temperature and power of every GPU.

    Parameters
    ----------
    library : str
        Name or path of the management library; loaded by the first sample.

    Notes
    -----
    One thread at a time. A forked child loads the library for itself: a driver's state does not survive a fork.
    """

    def __init__(self, library: str = LIBRARY) -> None:
        self._name = library
        self._nvml: _Nvml | None = None
        self._pid: int | None = None

    def sample(self) -> dict[str, float]:
        """What the GPUs report now.

        Returns
        -------
        dict
            ``system/gpu.0.utilization_percent``, ``.memory_used_bytes``, ``.temperature_c``, ``.power_w`` for each device
            index; what a device does not report is missing. Empty without GPUs.

        Notes
        -----
        Never raises.
        """
        nvml = self._loaded()
        if nvml is None:
            return {}
        samples: dict[str, float] = {}
        with contextlib.suppress(*_FAILURES):
            for index, handle in nvml.devices():
                samples |= {f"system/gpu.{index}.{key}": value for key, value in _measured(nvml, handle).items()}
        return samples

    def close(self) -> None:
        """Let go of the library; a later sample loads it again."""
        nvml, self._nvml = self._nvml, None
        if nvml is not None and self._pid == os.getpid():
            nvml.close()
        self._pid = None

    def _loaded(self) -> _Nvml | None:
        if self._pid != os.getpid():
            self._pid, self._nvml = os.getpid(), None
            with contextlib.suppress(*_FAILURES):  # tried once: where there is no driver, none appears
                self._nvml = _Nvml(self._name)
        return self._nvml


def _measured(nvml: _Nvml, handle: ctypes.c_void_p) -> dict[str, float]:
    return _answered(
        {
            "utilization_percent": lambda: float(nvml.utilization(handle).gpu),
            "memory_used_bytes": lambda: float(nvml.memory(handle).used),
            "temperature_c": lambda: float(
                nvml.number("nvmlDeviceGetTemperature", handle, ctypes.c_uint(_TEMPERATURE_GPU))
            ),
            "power_w": lambda: nvml.number("nvmlDeviceGetPowerUsage", handle) / 1000.0,
        }
    )
