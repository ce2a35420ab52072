"""Params: the text of every value, and back."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import enum
import fractions
import functools
import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

import mlops_sdk
from mlops_sdk.errors import InvalidValueError
from mlops_sdk.values.nested import MAX_DEPTH, MAX_KEY_BYTES
from mlops_sdk.values.params import EncodedParam, check_key, decode_param, encode_param, same_param
from mlops_sdk.values.plain import MAX_TEXT_BYTES

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def kind_of(value: object) -> str:
    """Name a case: pytest would write out an int that Python refuses to."""
    return type(value).__name__


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def round_trip(value: Any) -> Any:
    encoded = encode_param(value)
    return decode_param(encoded.kind, encoded.text)


class Colour(enum.Enum):
    RED = 1
    MIXED = (1, 2)
    NAMED = "blue"
    NONE = None


class Level(enum.IntEnum):
    HIGH = 3


class Mode(str, enum.Enum):  # noqa: UP042 - the form that people wrote before StrEnum
    FAST = "fast"


class Text(str):  # noqa: SLOT000
    def __str__(self) -> str:
        return "overridden"


class Number(float):
    def __repr__(self) -> str:
        return "overridden"

    def __float__(self) -> float:
        return 9.0


# -- round trips -------------------------------------------------------------------------------------------------------


def test_every_top_16_bit_pattern_of_a_float64_comes_back_bit_for_bit() -> None:
    generator = np.random.default_rng(0)
    low = generator.integers(0, 2**48, size=2**16, dtype=np.uint64)
    patterns = (np.arange(2**16, dtype=np.uint64) << np.uint64(48)) | low
    n_compared = 0
    for value in patterns.view(np.float64).tolist():
        encoded = encode_param(value)
        found = decode_param(encoded.kind, encoded.text)
        if math.isnan(value):
            assert encoded == ("float", "nan", None)
            assert math.isnan(found)  # type: ignore[arg-type]
        else:
            assert encoded == ("float", repr(value), value)
            assert bits(found) == bits(value)  # type: ignore[arg-type]
            n_compared += 1
    assert n_compared > 65_000


@pytest.mark.parametrize("value", [0.0, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, 0.1 + 0.2])
def test_edges_of_float64_come_back_bit_for_bit(value: float) -> None:
    assert bits(round_trip(value)) == bits(value)
    assert bits(round_trip([value])[0]) == bits(value)


@given(st.integers(-(2**200), 2**200))
def test_an_int_comes_back_exactly(value: int) -> None:
    encoded = encode_param(value)
    assert encoded == ("int", str(value), float(value))
    assert decode_param("int", encoded.text) == value


@pytest.mark.parametrize(
    "value", [10**639, 10**640, -(10**640), 2**2126, 10**5000 + 7, -(10**65_534), 10**65_535 - 1], ids=kind_of
)
def test_ints_beyond_the_limit_of_python_on_digits_come_back_exactly(value: int) -> None:
    encoded = encode_param(value)
    assert decode_param(encoded.kind, encoded.text) == value
    assert encoded.number == (math.inf if value > 0 else -math.inf)
    assert len(encoded.text) <= MAX_TEXT_BYTES


def test_int_text_does_not_depend_on_the_limit_that_the_program_has_set() -> None:
    limit = sys.get_int_max_str_digits()
    try:
        sys.set_int_max_str_digits(640)
        strict = encode_param(10**1000), encode_param([10**1000, 10**639])
        assert decode_param(*strict[0][:2]) == 10**1000
        assert decode_param(*strict[1][:2]) == ["1" + "0" * 1000, 10**639]
    finally:
        sys.set_int_max_str_digits(limit)
    assert strict == (encode_param(10**1000), encode_param([10**1000, 10**639]))


@given(st.text())
def test_any_text_comes_back_exactly(value: str) -> None:
    assert round_trip(value) == value


@given(JSON)
def test_nested_data_comes_back_exactly(value: Any) -> None:
    found = round_trip(value)
    assert found == value
    assert json.dumps(found) == json.dumps(value)  # tells 1 from True and -0.0 from 0, keeps the order of keys


@given(JSON)
def test_what_was_decoded_is_encoded_to_the_same_text(value: Any) -> None:
    encoded = encode_param(value)
    assert encode_param(decode_param(encoded.kind, encoded.text)) == encoded


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x\udfffy", "\0"])
def test_text_that_no_column_can_hold_is_kept_as_json(text: str) -> None:
    encoded = encode_param(text)
    assert encoded.kind == "json"
    assert encoded.text.isprintable()
    assert encoded.text.isascii()
    assert decode_param(encoded.kind, encoded.text) == text
    assert round_trip({text: [text]}) == {text: [text]}


# -- what becomes what -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, expected",
    [
        (None, ("none", "None", None)),
        (True, ("bool", "True", 1.0)),
        (False, ("bool", "False", 0.0)),
        (3, ("int", "3", 3.0)),
        (1.0, ("float", "1.0", 1.0)),
        (math.nan, ("float", "nan", None)),
        (math.inf, ("float", "inf", math.inf)),
        ("", ("str", "", None)),
        ("1", ("str", "1", None)),
        (Text("given"), ("str", "given", None)),
        (Number(0.5), ("float", "0.5", 0.5)),
        (np.float32(0.1), ("float", "0.10000000149011612", 0.10000000149011612)),
        (np.float64(0.1), ("float", "0.1", 0.1)),
        (np.float16(0.1), ("float", "0.0999755859375", 0.0999755859375)),
        (np.int64(-(2**63)), ("int", "-9223372036854775808", -(2.0**63))),
        (np.uint8(7), ("int", "7", 7.0)),
        (np.bool_(True), ("bool", "True", 1.0)),
        (np.str_("a"), ("str", "a", None)),
        (np.longdouble(0.5), ("float", "0.5", 0.5)),
        (np.datetime64("2020-01-02", "ns"), ("str", "2020-01-02T00:00:00.000000000", None)),
        (np.array(5), ("int", "5", 5.0)),
        (np.array([[1, 2], [3, 4]], np.int8), ("json", "[[1, 2], [3, 4]]", None)),
        (np.array([0.1], np.float32), ("json", "[0.10000000149011612]", None)),
        (np.array(["2020-01-02"], "datetime64[D]"), ("json", '["2020-01-02"]', None)),
        (np.array([None, "a"], object), ("json", '[null, "a"]', None)),
        (np.zeros((2, 0)), ("json", "[[], []]", None)),
        (pd.Series([1.5, None]), ("json", "[1.5, NaN]", None)),
        ((1, (2,)), ("json", "[1, [2]]", None)),
        (range(3), ("str", "range(0, 3)", None)),
        ({3, 10, 2}, ("json", "[2, 3, 10]", None)),
        (frozenset({"b", "a"}), ("json", '["a", "b"]', None)),
        (collections.deque([1]), ("json", "[1]", None)),
        ({"b": 1, "a": 2}.keys(), ("json", '["b", "a"]', None)),
        (array.array("i", [1, 2]), ("json", "[1, 2]", None)),
        ({1: "é", None: True}, ("json", '{"1": "é", "None": true}', None)),
        (Colour.RED, ("int", "1", 1.0)),
        (Colour.MIXED, ("str", "MIXED", None)),
        (Colour.NAMED, ("str", "blue", None)),
        (Colour.NONE, ("none", "None", None)),
        (Level.HIGH, ("int", "3", 3.0)),
        (Mode.FAST, ("str", "fast", None)),
        (pathlib.PurePosixPath("/a/b"), ("str", "/a/b", None)),
        (datetime.datetime(2020, 1, 2), ("str", "2020-01-02 00:00:00", None)),  # noqa: DTZ001 - naive on purpose
        (decimal.Decimal("1.10"), ("str", "1.10", None)),
        (fractions.Fraction(1, 3), ("str", "1/3", None)),
        (uuid.UUID(int=1), ("str", "00000000-0000-0000-0000-000000000001", None)),
        (int, ("str", "int", None)),
        (collections.OrderedDict, ("str", "collections.OrderedDict", None)),
        (math.sqrt, ("str", "math.sqrt", None)),
        (json.dumps, ("str", "json.dumps", None)),
        (np.mean, ("str", "numpy.mean", None)),
        (np.dtype("float32"), ("str", "float32", None)),
        (b"a\0", ("str", "b'a\\x00'", None)),
        (1 + 2j, ("str", "(1+2j)", None)),
        (LogisticRegression(C=3), ("str", "LogisticRegression(...)", None)),
    ],
    ids=kind_of,
)
def test_what_a_value_becomes(value: object, expected: tuple[str, str, float | None]) -> None:
    encoded = encode_param(value)
    assert encoded == expected
    assert type(encoded.text) is str
    assert encoded.number is None or type(encoded.number) is float


def test_a_long_double_that_float64_cannot_hold_stays_text() -> None:
    value = np.longdouble("0.1")
    if float(value) == value:
        pytest.skip("long double is float64 here")
    assert encode_param(value) == ("str", str(value), None)


def test_addresses_are_left_out_so_that_equal_configurations_are_equal() -> None:
    class Plain:
        pass

    def make() -> object:
        return functools.partial(test_addresses_are_left_out_so_that_equal_configurations_are_equal, Plain())

    one, other = make(), make()
    assert str(one) != str(other)
    assert encode_param(one) == encode_param(other)
    assert " at 0x" not in encode_param([one]).text


def test_the_order_of_a_set_does_not_depend_on_the_process() -> None:
    code = (
        "from mlops_sdk.values.params import encode_param;"
        "print(encode_param({'a', 'b', 'c', 'd', 'e', 1, 2.5, None, ('x', 'y')}).text)"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(pathlib.Path(mlops_sdk.__file__).parents[1])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1


def test_converting_loads_no_third_party_module() -> None:
    code = (
        "import sys; from mlops_sdk.values import media, metrics, params;"
        "params.flatten_params({'a': [1, {2}], 'b': object()}); params.encode_param(object());"
        "metrics.flatten_metrics({'a': 1}); metrics.to_float(1); metrics.to_step(1); metrics.to_time_ns(1);"
        "media.classify({}); media.render_json({}, 'a.json'); media.render_table([{'a': 1}], 'a.csv');"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)"
        " - {'mlops_sdk', '__main__'}))"
    )
    root = pathlib.Path(mlops_sdk.__file__).parents[1]
    result = subprocess.run(
        [sys.executable, "-S", "-c", code],  # -S: what site-packages start by themselves is not ours
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"


# -- hostile values ----------------------------------------------------------------------------------------------------


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Reprless:
    def __repr__(self) -> str:
        return 5  # type: ignore[return-value]


class Endless:
    def __repr__(self) -> str:
        return f"<{self!r}>"


class OnlyRepr:
    def __str__(self) -> str:
        raise ValueError("no")

    def __repr__(self) -> str:
        return "OnlyRepr()"


@pytest.mark.parametrize("kind", [Mute, Reprless, Endless])
def test_an_object_that_cannot_describe_itself_is_named_by_its_class(kind: type) -> None:
    assert encode_param(kind()) == ("str", f"<{__name__}.{kind.__name__}>", None)


def test_repr_stands_in_for_a_str_that_raises() -> None:
    assert encode_param(OnlyRepr()).text == "OnlyRepr()"


class BrokenMapping(collections.UserDict[str, int]):
    def __getitem__(self, key: str) -> int:
        raise OSError("disk on fire")


class Zeros(collections.abc.Sequence[int]):
    def __len__(self) -> int:
        return 10**7

    def __getitem__(self, index: Any) -> Any:
        if index >= len(self):
            raise IndexError(index)
        return 0


def cyclic_list() -> list[Any]:
    items: list[Any] = [1]
    items.append(items)
    return items


def cyclic_dict() -> dict[str, Any]:
    config: dict[str, Any] = {}
    config["self"] = [config]
    return config


def deep(levels: int) -> list[Any]:
    items: list[Any] = []
    for _ in range(levels - 1):
        items = [items]
    return items


@pytest.mark.parametrize(
    "value, match",
    [
        (cyclic_list(), "contains itself"),
        (cyclic_dict(), "contains itself"),
        (deep(MAX_DEPTH + 1), "deeper than 64"),
        (deep(100_000), "deeper than 64"),
        ("x" * (MAX_TEXT_BYTES + 1), "artifact"),
        ("é" * (MAX_TEXT_BYTES // 2 + 1), "65,538 bytes.*artifact"),
        (b"x" * 10**7, "artifact"),
        (memoryview(bytes(10**7)), "artifact"),
        ([0] * 10**7, "artifact"),
        (np.zeros(10**7), "log_dict"),
        (np.zeros((10**6, 0)), "artifact"),
        (["x" * 60_000] * 10**4, "artifact"),
        ({"k" * 60_000: 1, "l" * 60_000: 2}, "artifact"),
        (dict.fromkeys(range(10**5)), "artifact|log_dict"),
        (Zeros(), "artifact"),
        (10**65_535, "65,535 digits"),
        ({1: "a", "1": "b"}, "same name"),
        (BrokenMapping({"a": 1}), "disk on fire"),
    ],
    ids=kind_of,
)
def test_what_cannot_be_a_param_is_refused_in_a_short_text(value: object, match: str) -> None:
    with pytest.raises(InvalidValueError, match=match) as refusal:
        encode_param(value)
    assert len(str(refusal.value)) < 400


def test_the_deepest_and_the_longest_are_accepted() -> None:
    assert round_trip(deep(MAX_DEPTH)) == deep(MAX_DEPTH)
    assert round_trip("x" * MAX_TEXT_BYTES) == "x" * MAX_TEXT_BYTES
    long = [0] * (MAX_TEXT_BYTES // 3)
    assert round_trip(long) == long


def test_one_object_in_two_places_is_no_cycle() -> None:
    shared = [1, 2]
    assert round_trip([shared, {"again": shared}]) == [[1, 2], {"again": [1, 2]}]


def test_the_result_shares_nothing_with_what_was_given() -> None:
    from mlops_sdk.values.plain import to_plain

    given_value = {"a": [1]}
    plain = to_plain(given_value, max_chars=100)
    given_value["a"].append(2)
    assert plain == {"a": [1]}


# -- decoding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, text",
    [
        *[("none", ""), ("bool", "true"), ("bool", "1"), ("unknown", "1"), ("", "")],
        *[("int", text) for text in ("", "-", "1.0", "1_000", " 1", "+1", "٣", "1" * 65_536, "0x1")],
        *[("float", text) for text in ("", "1", "1e400", "1_0.0", " 1.0", "infinity", "NaN", "0.10", "x")],
        *[("json", text) for text in ("", "{", "[1,]", "[" * 100_000, "[" + "9" * 70_000 + "]")],
    ],
)
def test_text_that_was_never_written_is_refused(kind: str, text: str) -> None:
    with pytest.raises(InvalidValueError) as refusal:
        decode_param(kind, text)
    assert len(str(refusal.value)) < 300


# -- sameness ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "a, b",
    [
        *[(1, 1.0), (2**53, 2.0**53), (np.int32(4), 4), (np.float32(0.5), 0.5), (0.0, -0.0), (math.nan, math.nan)],
        *[(None, None), (True, np.bool_(True)), ("a", "a"), ([1, 2], (1, 2)), ({1, 2}, [1, 2]), (Colour.RED, 1)],
    ],
)
def test_same(a: object, b: object) -> None:
    assert same_param(encode_param(a), encode_param(b))
    assert same_param(encode_param(b), encode_param(a))


@pytest.mark.parametrize(
    "a, b",
    [
        *[(1, 2), (1, "1"), (1, True), (0, False), (2**53, 2**53 + 1), (2.0**53, 2**53 + 1), (10**60_000, math.inf)],
        *[(None, "None"), (math.nan, 0.0), (math.nan, "nan"), ([1], [2]), ("a", "A"), ("é", "e\u0301"), (0.1, 0.2)],
    ],
    ids=kind_of,
)
def test_not_the_same(a: object, b: object) -> None:
    assert not same_param(encode_param(a), encode_param(b))
    assert not same_param(encode_param(b), encode_param(a))


# -- names -------------------------------------------------------------------------------------------------------------


@given(st.text(min_size=1, max_size=40).filter(lambda text: "\0" not in text))
def test_any_text_is_a_name(key: str) -> None:
    assert check_key(key, "param") == key


@pytest.mark.parametrize(
    "key",
    [
        "a\nb",
        "\x1b[31m",
        "\u202e",
        "e\u0301",
        "\u00e9",
        " ",
        "../x",
        "x" * MAX_KEY_BYTES,
        "é" * 512,
        "\U0001f600" * 256,
    ],
)
def test_names_are_kept_exactly(key: str) -> None:
    assert check_key(key, "tag") == key


def test_a_name_is_a_plain_str() -> None:
    assert type(check_key(Text("given"), "tag")) is str
    assert check_key(Text("given"), "tag") == "given"


@pytest.mark.parametrize(
    "key",
    ["", "\0", "a\0b", "\ud800", "x\udfff", "x" * (MAX_KEY_BYTES + 1), "é" * 513, "x" * 10**7, "\x1b[31m\0"],
    ids=lambda key: ascii(key[:9]),
)
def test_a_name_that_no_store_can_keep_is_refused_and_shown_escaped(key: str) -> None:
    with pytest.raises(InvalidValueError, match="param") as refusal:
        check_key(key, "param")
    assert refusal.value.key == key
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize("key", [None, 1, b"a", ["a"]])
def test_only_text_is_a_name(key: Any) -> None:
    with pytest.raises(InvalidValueError, match="metric is text, not"):
        check_key(key, "metric")


def test_an_encoded_param_unpacks_into_a_row() -> None:
    assert [*encode_param(0.5)] == ["float", "0.5", 0.5]
    assert EncodedParam("int", "1", 1.0).kind == "int"
