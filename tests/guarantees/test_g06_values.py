"""G6 and A10: no value, however hostile, makes a tracking call raise, and none is dropped in silence."""

from __future__ import annotations

import logging
import math
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

import mlops_sdk
from mlops_sdk import Run
from tests.guarantees.every_call import QUIET


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Hostile:
    """Raises whatever is asked of it, an error that has no text itself."""

    def _refuse(self, *_: object) -> NoReturn:
        raise UnprintableError

    __float__ = __int__ = __index__ = __str__ = __repr__ = __bytes__ = __len__ = __iter__ = __bool__ = _refuse
    __eq__ = __fspath__ = __format__ = __array__ = __getitem__ = _refuse  # type: ignore[assignment]

    def __hash__(self) -> int:
        raise UnprintableError

    def __reduce__(self) -> NoReturn:
        raise UnprintableError


class HostileText(str):
    __slots__ = ()

    def __hash__(self) -> int:
        raise UnprintableError

    def __eq__(self, other: object) -> bool:
        raise UnprintableError

    def encode(self, *_: object, **__: object) -> NoReturn:
        raise UnprintableError


class HostileMapping(Mapping[str, float]):
    def __getitem__(self, key: str) -> float:
        raise UnprintableError

    def __iter__(self) -> Iterator[str]:
        yield "a"
        raise UnprintableError

    def __len__(self) -> int:
        return 2


class Recursive:
    """Logs itself while it is being logged."""

    def __init__(self, run: Run) -> None:
        self.run, self.depth = run, 0

    def __float__(self) -> float:
        self.depth += 1
        if self.depth < 50:
            self.run.log_metric("recursive", self)
        return 1.0


def _cycle() -> dict[str, Any]:
    cycle: dict[str, Any] = {"a": 1}
    cycle["self"] = cycle
    return cycle


def _objects() -> Any:
    array = np.empty(2, dtype=object)
    array[0] = Hostile()
    return array


def _deep() -> dict[str, Any]:
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"a": deep}
    return deep


VALUES: dict[str, Callable[[Run], Any]] = {
    "None": lambda _: None,
    "hostile": lambda _: Hostile(),
    "hostile text": lambda _: HostileText("text"),
    "hostile mapping": lambda _: HostileMapping(),
    "hostile in a mapping": lambda _: {"a": Hostile(), "b": 1.0},
    "hostile key": lambda _: {1: 1.0, None: 2.0, (1, 2): 3.0, "\ud800": 1.0, "": 1.0},
    "recursive": Recursive,
    "list": lambda _: [1, 2],
    "set": lambda _: {1, 2},
    "cycle": lambda _: _cycle(),
    "deep": lambda _: _deep(),
    "bytes": lambda _: b"\x00\xff",
    "NUL": lambda _: "a\0b",
    "surrogate": lambda _: "\ud800",
    "empty text": lambda _: "",
    "long text": lambda _: "x" * 300_000,
    "terminal codes": lambda _: "\x1b[2J\x07\r\n\u202e",
    "huge int": lambda _: 10**5_000,
    "int": lambda _: 2**63,
    "complex": lambda _: 1j,
    "NaN": lambda _: math.nan,
    "fraction": lambda _: Fraction(1, 3),
    "array": lambda _: np.zeros((3, 3)),
    "object array": lambda _: _objects(),
    "large array": lambda _: np.zeros(100_000),
    "class": lambda _: Hostile,
    "generator": lambda _: (number for number in range(3)),
    "lock": lambda _: threading.Lock(),
    "module": lambda _: sys,
    "path": lambda _: Path("/no/such/path"),
    "device": lambda _: "/dev/null",
}
CALLS: dict[str, Callable[[Run, Any], object]] = {
    "log_metric value": lambda run, bad: run.log_metric("x", bad),
    "log_metric key": lambda run, bad: run.log_metric(bad, 1.0),
    "log_metric step": lambda run, bad: run.log_metric("x", 1.0, step=bad),
    "log_metric timestamp": lambda run, bad: run.log_metric("x", 1.0, timestamp=bad),
    "log_metrics": lambda run, bad: run.log_metrics(bad),
    "log_metrics value": lambda run, bad: run.log_metrics({"x": bad, "y": 1.0}),
    "log_metrics step": lambda run, bad: run.log_metrics({"x": 1.0}, bad),
    "log": lambda run, bad: run.log(bad),
    "log value": lambda run, bad: run.log({"x": bad, "y": 1.0}),
    "log step": lambda run, bad: run.log({"x": 1.0, "t": "text"}, step=bad),
    "log_param key": lambda run, bad: run.log_param(bad, 1),
    "log_param value": lambda run, bad: run.log_param("x", bad, overwrite=True),
    "log_params": lambda run, bad: run.log_params(bad),
    "define_metric": lambda run, bad: run.define_metric(bad),
    "define_metric mode": lambda run, bad: run.define_metric("x", mode=bad),
    "define_metric unit": lambda run, bad: run.define_metric("x", unit=bad),
    "define_metric x": lambda run, bad: run.define_metric("x", x=bad),
    "set_tag key": lambda run, bad: run.set_tag(bad, 1),
    "set_tag value": lambda run, bad: run.set_tag("x", bad),
    "set_tags": lambda run, bad: run.set_tags(bad),
    "delete_tag": lambda run, bad: run.delete_tag(bad),
    "set_description": lambda run, bad: run.set_description(bad),
    "rename": lambda run, bad: run.rename(bad),
    "move": lambda run, bad: run.move(bad),
    "log_artifact": lambda run, bad: run.log_artifact(bad),
    "log_artifact below": lambda run, bad: run.log_artifact(__file__, bad),
    "log_artifact step": lambda run, bad: run.log_artifact(__file__, step=bad),
    "log_artifacts": lambda run, bad: run.log_artifacts(bad),
    "log_text": lambda run, bad: run.log_text(bad, "x.txt"),
    "log_text name": lambda run, bad: run.log_text("text", bad),
    "log_dict": lambda run, bad: run.log_dict(bad, "x.json"),
    "log_dict name": lambda run, bad: run.log_dict({}, bad),
    "log_figure": lambda run, bad: run.log_figure(bad, "x.png"),
    "log_figure name": lambda run, bad: run.log_figure(bad, bad),
    "log_image": lambda run, bad: run.log_image(bad, "x.png"),
    "log_table": lambda run, bad: run.log_table(bad, "x.csv"),
    "log_model": lambda run, bad: run.log_model(bad),
    "log_model name": lambda run, bad: run.log_model(1, bad),
    "log_model example": lambda run, bad: run.log_model(1, input_example=bad),
    "log_model metadata": lambda run, bad: run.log_model(1, metadata=bad),
}
NEVER_FINE = {
    "hostile": {"log_metric value", "log_metric key", "log_metric step", "log_metrics", "log", "log_param key",
                "log_params", "define_metric", "set_tag key", "set_tags", "rename", "move", "log_artifact"},
    "None": {"log_metric value", "log_metric key", "log_metrics", "log", "log_param key", "define_metric",
             "set_tag key", "set_tags", "delete_tag", "rename", "move", "log_artifact", "log_artifacts"},
    "NUL": {"log_metric value", "log_metric key", "log_metrics", "log_param key", "set_tag key", "rename", "move",
            "log_text name"},
}  # fmt: skip


@pytest.mark.slow
def test_hostile_values_in_every_place_raise_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "mlops_sdk")
    run = mlops_sdk.start_run(tracking_uri=tmp_path / "store", **QUIET)
    raised, silent = [], []
    for name, make in VALUES.items():
        for call, log in CALLS.items():
            before = run.health()["errors"]
            try:
                log(run, make(run))
            except Exception as error:  # noqa: BLE001 - collected, and asserted below
                raised.append(f"{call} of {name}: {type(error).__name__}")
            if call in NEVER_FINE.get(name, ()) and run.health()["errors"] == before:
                silent.append(f"{call} of {name}")
    assert raised == []
    assert silent == []
    run.log_metric("fine", 1.0)
    run.flush()
    run.finish()
    assert run.metrics["fine"] == 1.0
    assert run.status == "FINISHED"
    assert all(message.isprintable() for message in run.health()["errors"])
    print(f"G6 values: {len(VALUES) * len(CALLS)} calls, 0 exceptions, counted: {run.health()['errors']}")


def test_a_mapping_that_another_thread_fills_raises_nothing(tmp_path: Path) -> None:
    run = mlops_sdk.start_run(tracking_uri=tmp_path / "store", **QUIET)
    shared: dict[str, float] = {}
    is_over = threading.Event()

    def fill() -> None:
        while not is_over.is_set():
            for number in range(200):
                shared[f"k{number}"] = 1.0
            shared.clear()

    filler = threading.Thread(target=fill)
    filler.start()
    try:
        for _ in range(100):
            run.log_metrics(shared)
            run.log_params(shared, overwrite=True)
            run.set_tags(shared)
            run.log(shared)
    finally:
        is_over.set()
        filler.join()
    run.finish()
    assert run.health()["delivered"] == run.health()["logged"]


def test_logging_that_is_broken_itself_raises_nothing(tmp_path: Path) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("no space for logs")

    handler = Broken()
    logging.getLogger("mlops_sdk").addHandler(handler)
    try:
        run = mlops_sdk.start_run(tracking_uri=tmp_path / "store", **QUIET)
        run.log_metric("x", "bad")
        run.log_param("x\0", 1)
        run.finish()
    finally:
        logging.getLogger("mlops_sdk").removeHandler(handler)
    assert run.status == "FINISHED"
    assert run.health()["errors"] == {"InvalidValueError": 2}


def test_log_lines_hold_no_control_characters(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    name = "evil\x1b[2J\nINFO forged line"
    run = mlops_sdk.start_run(tracking_uri=tmp_path / "store", name=name, **QUIET)
    run.log_metric("a\x1b[31m\nb", "bad")
    run.log_artifact("no\x07such")
    run.finish()
    assert len(caplog.records) >= 2
    assert all(record.getMessage().isprintable() for record in caplog.records)
