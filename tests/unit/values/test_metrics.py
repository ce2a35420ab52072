"""Metric values, steps and times."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import math
import struct
import sys
import threading
import time
import zoneinfo
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.values.metrics import MAX_METRICS, flatten_metrics, to_float, to_step, to_time_ns
from mlops_sdk.values.nested import MAX_DEPTH

UTC = datetime.UTC


def kind_of(value: object) -> str:
    """Name a case: pytest would write out an int that Python refuses to."""
    return type(value).__name__


# -- flattening --------------------------------------------------------------------------------------------------------


def test_nested_mappings_flatten_with_slashes_and_values_are_untouched() -> None:
    value = object()
    metrics = {"loss": value, "val": {"acc": 0.9, 5: {"f1": [1]}}, "none": {}, "a/b": 1}
    flat = flatten_metrics(metrics)
    assert flat == {"loss": value, "val/acc": 0.9, "val/5/f1": [1], "a/b": 1}
    assert list(flat) == ["loss", "val/acc", "val/5/f1", "a/b"]


@given(st.dictionaries(st.text(), st.floats(allow_nan=False), max_size=20))
def test_a_flat_mapping_stays_as_it_is(metrics: dict[str, float]) -> None:
    assert flatten_metrics(metrics) == metrics


@pytest.mark.parametrize("metrics", [None, 1.0, [("a", 1)], "loss"])
def test_only_a_mapping_is_accepted(metrics: Any) -> None:
    with pytest.raises(InvalidValueError, match="mapping of names"):
        flatten_metrics(metrics)


@pytest.mark.parametrize("metrics", [{"a/b": 1, "a": {"b": 2}}, {1: 0, "1": 1}, {"a": {None: 0, "None": 1}}])
def test_two_values_of_one_name_are_refused(metrics: dict[Any, Any]) -> None:
    with pytest.raises(InvalidValueError, match="same name"):
        flatten_metrics(metrics)


def test_size_and_depth_are_bounded() -> None:
    many = {str(number): number for number in range(MAX_METRICS)}
    assert flatten_metrics(many) == many
    many["one more"] = 1
    with pytest.raises(InvalidValueError, match="more than 100,000"):
        flatten_metrics(many)
    looped: dict[str, Any] = {}
    looped["a"] = looped
    with pytest.raises(InvalidValueError, match="contains itself"):
        flatten_metrics(looped)
    deep: Any = 1.0
    for _ in range(MAX_DEPTH):
        deep = {"a": deep}
    assert list(flatten_metrics(deep).values()) == [1.0]
    with pytest.raises(InvalidValueError, match="deeper"):
        flatten_metrics({"a": deep})
    doubling: dict[str, Any] = {}
    for _ in range(20):
        doubling = {"a": doubling, "b": doubling}
    with pytest.raises(InvalidValueError, match="more than 100,000 nested"):
        flatten_metrics(doubling)


class Changing(collections.UserDict[str, float]):
    """Changes whenever it is read, up to `n_times`."""

    n_times = 0

    def __iter__(self) -> Iterator[str]:
        for number, key in enumerate(self.data):
            yield key
            if number == 0 and self.n_times > 0:
                self.n_times -= 1
                self.data[f"new{self.n_times}"] = 0.0


@pytest.mark.parametrize("n_times, is_read", [(0, True), (1, True), (4, True), (10**6, False)])
def test_a_mapping_that_changes_is_read_again_and_in_the_end_refused(n_times: int, is_read: bool) -> None:
    metrics = Changing({"a": 1.0, "b": 2.0})
    metrics.n_times = n_times
    if is_read:
        assert len(flatten_metrics(metrics)) == 2 + n_times
        return
    with pytest.raises(InvalidValueError, match="pass a copy") as refusal:
        flatten_metrics(metrics)
    assert isinstance(refusal.value.__cause__, RuntimeError)


def test_a_mapping_whose_code_raises_is_refused() -> None:
    class Broken(collections.UserDict[str, float]):
        def __iter__(self) -> Iterator[str]:
            raise OSError("disk on fire")

    with pytest.raises(InvalidValueError, match="OSError: disk on fire"):
        flatten_metrics({"val": Broken()})


def test_a_dict_that_another_thread_fills_never_gives_a_runtime_error() -> None:
    metrics: dict[str, float] = {str(number): 1.0 for number in range(2000)}
    is_over = threading.Event()

    def fill() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            metrics[f"new{number % 100}"] = 1.0
            metrics.pop(f"new{(number + 50) % 100}", None)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=fill)
    thread.start()
    try:
        sizes = [len(flatten_metrics(metrics)) for _ in range(30)]
    finally:
        is_over.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert min(sizes) >= 2000


# -- values ------------------------------------------------------------------------------------------------------------


class Floating:
    def __init__(self, result: object) -> None:
        self.result = result

    def __float__(self) -> Any:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class Indexing:
    def __index__(self) -> int:
        return 7


class Tensor:
    """As tensorflow's: no `item`, a `shape` that is no tuple, `numpy` instead."""

    shape = object()
    dtype = "float32"

    def __init__(self, array: object) -> None:
        self.array = array

    def numpy(self) -> object:
        return self.array


class Size(tuple[int, ...]):
    """As torch's: a tuple of its own."""

    __slots__ = ()


class Torch:
    """As torch's tensors: a `dtype` without a kind, `size` a method; `__float__` must not be needed."""

    dtype = object()
    shape: Any = None

    def __init__(self, *values: float, shape: tuple[int, ...]) -> None:
        self.values = values
        self.shape = Size(shape)

    def size(self) -> Size:
        return Size(self.shape)

    def item(self) -> float:
        (value,) = self.values
        return value


class Half(float):
    def __float__(self) -> float:
        return 0.5


def test_every_top_16_bit_pattern_of_a_float64_passes_bit_for_bit() -> None:
    low = np.random.default_rng(0).integers(0, 2**48, size=2**16, dtype=np.uint64)
    patterns = (np.arange(2**16, dtype=np.uint64) << np.uint64(48)) | low
    for value in patterns.view(np.float64):
        number, is_exact = to_float(value)
        assert is_exact
        assert type(number) is float
        assert struct.pack("<d", number) == value.tobytes()


@pytest.mark.parametrize(
    "value, expected",
    [
        *[(1, 1.0), (True, 1.0), (False, 0.0), (-(2**53), -(2.0**53)), (2**53 + 2, 2.0**53 + 2), (10**22, 1e22)],
        *[(np.float32(0.1), 0.10000000149011612), (np.float16(0.5), 0.5), (np.int8(-3), -3.0), (np.bool_(True), 1.0)],
        *[(np.uint64(2**63), 2.0**63), (np.longdouble(0.5), 0.5), (np.array(2.5), 2.5), (np.array([2.5]), 2.5)],
        *[(np.array([[[7]]]), 7.0), (np.array(1.5, object), 1.5), (pd.Series([3]), 3.0), (Half(0.25), 0.25)],
        *[(decimal.Decimal("0.1"), 0.1), (decimal.Decimal("-1e300"), -1e300), (decimal.Decimal("Infinity"), math.inf)],
        *[(fractions.Fraction(1, 4), 0.25), (Floating(0.5), 0.5), (Floating(np.float64(0.5)), 0.5), (Indexing(), 7.0)],
        *[(Tensor(np.float32(0.5)), 0.5), (Tensor(np.array([0.5])), 0.5)],
        *[(Torch(0.5, shape=()), 0.5), (Torch(3, shape=(1, 1)), 3.0)],
    ],
    ids=kind_of,
)
def test_numbers_that_float64_holds(value: object, expected: float) -> None:
    number, is_exact = to_float(value)
    assert (number, is_exact) == (expected, True)
    assert type(number) is float


@pytest.mark.parametrize(
    "value, expected",
    [
        *[(2**53 + 1, 2.0**53), (-(2**53) - 1, -(2.0**53)), (2**63 - 1, 2.0**63), (10**300, 1e300), (10**23, 1e23)],
        *[(np.int64(2**53 + 1), 2.0**53), (np.array([2**53 + 1]), 2.0**53), (fractions.Fraction(1, 3), 1 / 3)],
        *[(decimal.Decimal(2**53 + 1), 2.0**53), (decimal.Decimal("0.1234567890123456789"), 0.12345678901234568)],
    ],
    ids=kind_of,
)
def test_numbers_that_float64_has_to_round_are_told(value: object, expected: float) -> None:
    assert to_float(value) == (expected, False)


@given(st.integers(-(2**200), 2**200))
def test_an_int_is_the_nearest_float_and_exact_when_it_is_equal(value: int) -> None:
    number, is_exact = to_float(value)
    assert number == float(value)
    assert is_exact == (int(number) == value)


@pytest.mark.parametrize("value", [math.nan, np.float32("nan"), decimal.Decimal("NaN"), np.array([math.nan])])
def test_nan_is_a_value(value: object) -> None:
    number, is_exact = to_float(value)
    assert math.isnan(number)
    assert is_exact


@pytest.mark.parametrize(
    "value, match",
    [
        *[("0.5", r"not str: float\(value\)"), (np.str_("0.5"), "not numpy.str_"), (b"1", "not bytes")],
        *[
            (None, "NoneType: leave it out"),
            (1j, "value.real"),
            (np.complex64(1), "complex64"),
            (np.bytes_(b"1"), "bytes"),
        ],
        *[
            (np.zeros(3), r"shape \(3,\).*log value.mean\(\)"),
            (np.zeros((1, 0)), r"shape \(1, 0\)"),
            ([1.0], "not list"),
        ],
        *[({"a": 1}, "not dict"), (pd.Series([1, 2]), "pandas.*not one number"), (pd.NaT, "NaT"), (pd.NA, "NA")],
        *[
            (np.datetime64("2020", "ns"), "datetime64"),
            (np.timedelta64(1, "ns"), "timedelta64"),
            (np.array("1"), "ndarray"),
        ],
        *[
            (datetime.timedelta(1), "timedelta"),
            (object(), "not object"),
            (float, "not type"),
            (np.array(None, object), "ndarray"),
        ],
        *[(10**400, "too large"), (-(10**400), "too large"), (decimal.Decimal("1e400"), "too large")],
        *[(fractions.Fraction(10**400), "too large"), (decimal.Decimal("sNaN"), "signaling")],
        *[(Floating(ValueError("broken sensor")), "ValueError: broken sensor"), (Floating("0.5"), "gave a str")],
        *[(Floating(RecursionError("deep")), "RecursionError"), (Floating(MemoryError()), "MemoryError")],
        *[
            (Tensor(np.zeros(3)), "not one number"),
            (Torch(1, 2, shape=(2,)), r"shape \(2,\)"),
            (Torch(1j, shape=()), "Torch"),
        ],
    ],
    ids=kind_of,
)
def test_what_is_no_number_is_refused_with_a_way_out(value: object, match: str) -> None:
    with pytest.raises(InvalidValueError, match=match) as refusal:
        to_float(value)
    assert len(str(refusal.value)) < 400


def test_a_long_double_beyond_float64_is_refused() -> None:
    value = np.longdouble("1e400")
    if np.isinf(value):
        pytest.skip("long double is float64 here")
    with pytest.raises(InvalidValueError, match="too large"):
        to_float(value)
    assert to_float(np.longdouble("0.1")) == (0.1, False)


def test_the_error_keeps_its_cause() -> None:
    cause = ValueError("broken sensor")
    with pytest.raises(InvalidValueError) as refusal:
        to_float(Floating(cause))
    assert refusal.value.__cause__ is cause


def test_an_interrupt_is_no_bad_value() -> None:
    class Interrupting:
        def __float__(self) -> float:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        to_float(Interrupting())


def test_an_error_whose_text_raises_is_still_refused() -> None:
    class Mute(Exception):  # noqa: N818
        def __str__(self) -> str:
            raise RuntimeError

        __repr__ = __str__

    with pytest.raises(InvalidValueError, match="Mute"):
        to_float(Floating(Mute()))


def test_a_value_that_converts_another_while_it_is_converted() -> None:
    class Outer:
        def __float__(self) -> float:
            return to_float(Floating(0.25))[0] * 2

    assert to_float(Outer()) == (0.5, True)


# -- steps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step, expected",
    [
        *[(5, 5), (0, 0), (-3, -3), (True, 1), (5.0, 5), (-0.0, 0), (np.int64(5), 5), (np.float32(5), 5)],
        *[(np.array(5), 5), (np.array([5]), 5), (2**63 - 1, 2**63 - 1), (-(2**63), -(2**63)), (1e18, 10**18)],
        *[(Indexing(), 7), (decimal.Decimal(5), 5), (np.uint64(2**62), 2**62)],
    ],
    ids=kind_of,
)
def test_steps(step: object, expected: int) -> None:
    assert to_step(step) == expected
    assert type(to_step(step)) is int


@pytest.mark.parametrize(
    "step, match",
    [
        *[(5.5, "5.5"), (math.nan, "nan"), (math.inf, "inf"), ("5", "not str"), (None, "NoneType"), ([5], "not list")],
        *[(np.array([1, 2]), "ndarray"), (2**63, "64-bit"), (-(2**63) - 1, "64-bit"), (1e300, "64-bit")],
        *[(10**5000, "64-bit"), (np.uint64(2**63), "64-bit"), (datetime.date(2020, 1, 1), "date")],
    ],
    ids=kind_of,
)
def test_what_is_no_step(step: object, match: str) -> None:
    with pytest.raises(InvalidValueError, match=match):
        to_step(step)


# -- times -------------------------------------------------------------------------------------------------------------

NEW_YEAR_NS = 1_577_836_800_000_000_000


@pytest.mark.parametrize(
    "timestamp, expected",
    [
        *[(0, 0), (1, 10**9), (-1.25, -1_250_000_000), (1.5, 1_500_000_000), (np.int64(3), 3 * 10**9)],
        *[
            (np.float64(0.5), 5 * 10**8),
            (1_700_000_000.25, 1_700_000_000_250_000_000),
            (decimal.Decimal("0.5"), 5 * 10**8),
        ],
        (datetime.datetime(2020, 1, 1, tzinfo=UTC), NEW_YEAR_NS),
        (datetime.datetime(2020, 1, 1, 0, 0, 0, 1, tzinfo=UTC), NEW_YEAR_NS + 1000),
        (datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), -1000),
        (datetime.datetime(2020, 1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1))), NEW_YEAR_NS),
        (pd.Timestamp("2020-01-01T00:00:00.123456789", tz="UTC"), NEW_YEAR_NS + 123_456_789),
        (9_223_372_036, 9_223_372_036 * 10**9),
    ],
    ids=kind_of,
)
def test_times(timestamp: object, expected: int) -> None:
    assert to_time_ns(timestamp) == expected
    assert type(to_time_ns(timestamp)) is int


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone of a process cannot be set here")
def test_a_naive_datetime_is_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    naive = datetime.datetime(2020, 1, 1)  # noqa: DTZ001 - naive on purpose
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "XXX+05")
        time.tzset()
        found = to_time_ns(naive), to_time_ns(pd.Timestamp(naive))
    time.tzset()
    assert found == (NEW_YEAR_NS + 5 * 3600 * 10**9,) * 2


def test_both_hours_of_a_clock_that_is_turned_back_are_told_apart() -> None:
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    first = datetime.datetime(2020, 10, 25, 2, 30, tzinfo=berlin)
    assert to_time_ns(first.replace(fold=1)) - to_time_ns(first) == 3600 * 10**9


@given(st.datetimes(datetime.datetime(1678, 1, 1), datetime.datetime(2261, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_datetime_is_exact_to_the_microsecond(moment: datetime.datetime) -> None:
    time_ns = to_time_ns(moment)
    assert time_ns % 1000 == 0
    assert datetime.datetime(1970, 1, 1, tzinfo=UTC) + datetime.timedelta(microseconds=time_ns // 1000) == moment


@given(st.floats(-9.2e9, 9.2e9))
def test_seconds_are_rounded_to_the_nearest_nanosecond(seconds: float) -> None:
    assert abs(to_time_ns(seconds) - fractions.Fraction(seconds) * 10**9) <= fractions.Fraction(
        1, 2
    ) + fractions.Fraction(1, 10**6)


@pytest.mark.parametrize(
    "timestamp",
    [
        *[math.nan, math.inf, -math.inf, 1e300, 9.3e9, -9.3e9, 1.7e12, 10**400, "2020-01-01", b"1", None, [1]],
        *[datetime.datetime.min, datetime.datetime.max],  # noqa: DTZ901 - naive on purpose
        *[datetime.date(2020, 1, 1), datetime.timedelta(1), pd.NaT, 1j],
        datetime.datetime(2300, 1, 1, tzinfo=UTC),
    ],
    ids=kind_of,
)
def test_what_is_no_time(timestamp: object) -> None:
    with pytest.raises(InvalidValueError, match="timestamp"):
        to_time_ns(timestamp)
