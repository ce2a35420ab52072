"""What is logged is what is read: metrics."""

from __future__ import annotations

import datetime as dt
import logging
import math
import threading
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

import mlops_sdk
from mlops_sdk import InvalidValueError, MetricNotFoundError, Run


@pytest.fixture(params=["memory", "sqlite"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"memory:{tmp_path.name}" if request.param == "memory" else str(tmp_path / "store")


@pytest.fixture
def run(uri: str) -> Run:
    return mlops_sdk.start_run(tracking_uri=uri, capture=False, system_metrics=False)


@pytest.fixture(autouse=True)
def _end_what_is_open() -> object:
    yield
    for left in (mlops_sdk.active_run(),):
        if left is not None:
            left.finish()


def test_points_come_back_in_order_with_their_steps_and_times(run: Run) -> None:
    for step in (3, 1, 2, 2):
        run.log_metric("loss", step / 10, step=step)
    series = run.metric("loss")
    assert series.step.tolist() == [1, 2, 2, 3]
    assert series.value.tolist() == [0.1, 0.2, 0.2, 0.3]
    assert abs(series.time_ns[0] / 1e9 - dt.datetime.now(dt.UTC).timestamp()) < 60


def test_steps_count_up_by_themselves_behind_the_highest_of_the_key(run: Run) -> None:
    run.log_metric("a", 1.0)
    run.log_metric("a", 1.0)
    run.log_metric("a", 1.0, step=10)
    run.log_metric("a", 1.0)
    run.log_metric("b", 1.0, step=-5)
    run.log_metric("b", 1.0)
    assert run.metric("a").step.tolist() == [0, 1, 10, 11]
    assert run.metric("b").step.tolist() == [-5, 0]


def test_several_metrics_of_one_call_share_one_step(run: Run) -> None:
    run.log_metric("a", 1.0, step=7)
    run.log_metrics({"a": 2.0, "b": 3.0})
    run.log_metrics({"val": {"acc": 0.5, "deep": {"f1": 0.25}}}, step=2)
    assert run.metric("b").step.tolist() == [8]
    assert run.metrics["val/acc"] == 0.5
    assert run.metrics["val/deep/f1"] == 0.25


@pytest.mark.parametrize("value", [0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1.7976931348623157e308])
def test_every_float_comes_back_bit_for_bit(run: Run, value: float) -> None:
    run.log_metric("x", value, step=0)
    assert run.metric("x").value.tobytes() == np.float64(value).tobytes()


@pytest.mark.parametrize(
    "value", [1, True, np.float32(0.5), np.int64(3), np.float64(0.5), np.array(0.5), Decimal("0.5"), np.bool_(True)]
)
def test_what_has_a_float_is_taken(run: Run, value: object) -> None:
    run.log_metric("x", value, step=0)
    assert run.metrics["x"] == float(value)  # type: ignore[arg-type]
    assert run.health()["errors"] == {}


@pytest.mark.parametrize("value", ["0.5", None, b"1", 1j, [1.0], np.zeros(3), object(), 10**400])
def test_what_is_no_number_is_counted_and_costs_nothing_else(
    run: Run, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "mlops_sdk"):
        run.log_metric("x", value)
        run.log_metrics({"x": value, "y": 1.0}, step=0)
    assert run.health()["errors"]["InvalidValueError"] == 2
    assert len(caplog.records) == 1
    assert "x" in caplog.text
    assert run.metrics == {"y": 1.0}


def test_an_integer_that_float64_cannot_hold_is_a_counted_warning(run: Run) -> None:
    run.log_metric("n", 2**53 + 1, step=0)
    assert run.metrics["n"] == float(2**53)
    assert run.health()["errors"] == {"InexactInteger": 1}


@pytest.mark.parametrize("step", ["1", 1.5, math.nan, 2**63, -(2**63) - 1, object()])
def test_steps_that_are_no_64_bit_integers_are_counted(run: Run, step: object) -> None:
    run.log_metric("x", 1.0, step=step)  # type: ignore[arg-type]
    assert run.health()["errors"] == {"InvalidValueError": 1}
    with pytest.raises(MetricNotFoundError):
        run.metric("x")


@pytest.mark.parametrize(
    "step, kept", [(5.0, 5), (np.int32(4), 4), (True, 1), (2**63 - 1, 2**63 - 1), (-(2**63), -(2**63))]
)
def test_integers_of_any_make_are_steps(run: Run, step: object, kept: int) -> None:
    run.log_metric("x", 1.0, step=step)  # type: ignore[arg-type]
    assert run.metric("x").step.tolist() == [kept]


def test_a_timestamp_of_ones_own_is_kept_exactly(run: Run) -> None:
    moment = dt.datetime(2020, 1, 2, 3, 4, 5, 678901, dt.UTC)
    run.log_metric("x", 1.0, step=0, timestamp=moment)
    run.log_metric("x", 1.0, step=1, timestamp=1_000_000_000)
    assert run.metric("x").time_ns.tolist() == [1577934245678901000, 10**18]


@pytest.mark.parametrize(
    "key", ["a b", "π", "a\nb", "x" * 1024, "../x", "%2e%2e", "\u202egnp", "e\u0301", "😀", "CON", "a;b"]
)
def test_names_of_every_kind_come_back_as_they_were(run: Run, key: str) -> None:
    run.log_metric(key, 1.0, step=0)
    run.log_param(key, "v")
    run.set_tag(key, "t")
    assert list(run.metrics) == list(run.params) == list(run.tags) == [key]


@pytest.mark.parametrize("key", ["", "x" * 1025, "a\0b", "\ud800", 5, None])
def test_names_that_cannot_be_are_counted(run: Run, key: object) -> None:
    run.log_metric(key, 1.0)  # type: ignore[arg-type]
    run.log_param(key, 1)  # type: ignore[arg-type]
    assert sum(run.health()["errors"].values()) >= 1
    assert run.metrics == {}


def test_strict_raises_instead(uri: str) -> None:
    with mlops_sdk.start_run(tracking_uri=uri, strict=True, capture=False, system_metrics=False) as run:
        with pytest.raises(InvalidValueError, match="loss"):
            run.log_metric("loss", "high")
        run.log_metric("loss", 1.0)
    assert run.status == "FINISHED"


def test_a_value_whose_conversion_raises_or_logs_harms_nobody(run: Run) -> None:
    class Raises:
        def __float__(self) -> float:
            raise RuntimeError("no")

    class Logs:
        def __float__(self) -> float:
            run.log_metric("inner", 1.0)
            return 2.0

    run.log_metric("bad", Raises())
    run.log_metric("outer", Logs())
    assert run.metrics == {"inner": 1.0, "outer": 2.0}
    assert run.health()["errors"] == {"InvalidValueError": 1}


@pytest.mark.slow
def test_a_hundred_thousand_keys_in_one_call(run: Run) -> None:
    run.log_metrics({f"k{number}": float(number) for number in range(100_000)}, step=3)
    metrics = run.metrics
    assert len(metrics) == 100_000
    assert metrics["k99999"] == 99999.0


def test_threads_share_a_run(run: Run) -> None:
    def log(name: str) -> None:
        for step in range(2_000):
            run.log_metric(name, float(step), step=step)
            run.log_metric("shared", 1.0)

    threads = [threading.Thread(target=log, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(run.summary(f"t{number}").count == 2_000 for number in range(4))
    assert sorted(run.metric("shared").step.tolist()) == list(range(8_000))


def test_arity_and_unknown_keywords_are_type_errors(run: Run) -> None:
    with pytest.raises(TypeError):
        run.log_metric("x")  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        run.log_metric("x", 1.0, steps=3)  # type: ignore[call-arg]
