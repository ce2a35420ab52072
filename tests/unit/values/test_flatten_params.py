"""Configurations of every shape, flattened."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import enum
import json
import pathlib
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pydantic
import pydantic.v1
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mlops_sdk
from mlops_sdk.errors import InvalidValueError
from mlops_sdk.values.nested import MAX_DEPTH, MAX_KEY_BYTES
from mlops_sdk.values.params import MAX_PARAMS, check_key, decode_param, encode_param, flatten_params
from mlops_sdk.values.plain import MAX_TEXT_BYTES

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.lists(st.integers())
TREES = st.recursive(
    LEAVES, lambda inner: st.dictionaries(st.text("abc", min_size=1), inner, min_size=1, max_size=4), max_leaves=20
)


class Size(enum.Enum):
    SMALL = "small"


class Named(str, enum.Enum):  # noqa: UP042 - the form that people wrote before StrEnum
    SMALL = "small"


@dataclasses.dataclass
class Layer:
    units: int = 64
    size: Size = Size.SMALL
    seen: int = dataclasses.field(init=False)


class Shape(NamedTuple):
    height: int
    width: int


class Model(pydantic.BaseModel, extra="allow"):
    lr: float = 0.1
    key: pydantic.SecretStr = pydantic.SecretStr("hunter2")
    layer: Layer = Layer()


class Root(pydantic.RootModel[dict[str, int]]):
    def __iter__(self) -> Iterator[str]:  # type: ignore[override]
        return iter(self.root)


class OldModel(pydantic.v1.BaseModel):
    lr: float = 0.1
    inner: dict[str, int] = {"a": 1}


class OldRoot(pydantic.v1.BaseModel):
    __root__: dict[str, int]


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *above, last = key.split(".")
        level = nested
        for name in above:
            level = level.setdefault(name, {})
        level[last] = value
    return nested


# -- accepted shapes ---------------------------------------------------------------------------------------------------


def test_nested_mappings_flatten_with_dots_and_lists_are_one_value() -> None:
    config = {"lr": 0.1, "model": {"layers": [{"units": 1}, {"units": 2}], "head": {"units": 3}}, "empty": {}}
    flat, nested = flatten_params(config)
    assert flat == {
        "lr": 0.1,
        "model.layers": [{"units": 1}, {"units": 2}],
        "model.head.units": 3,
        "empty": {},
    }
    assert list(flat) == ["lr", "model.layers", "model.head.units", "empty"]
    assert nested == config


@settings(max_examples=50)
@given(st.dictionaries(st.text("abc", min_size=1), TREES, max_size=5))
def test_the_flat_mapping_holds_everything_and_the_nested_one_is_the_original(config: dict[str, Any]) -> None:
    flat, nested = flatten_params(config)
    assert nested == config
    assert unflatten(flat) == config
    assert json.loads(json.dumps(nested)) == config
    for value in flat.values():
        encoded = encode_param(value)
        assert decode_param(encoded.kind, encoded.text) == value


@pytest.mark.parametrize(
    "config, expected",
    [
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (collections.ChainMap({"a": 1}, {"a": 2, "b": 3}), {"a": 1, "b": 3}),
        (Layer(), {"units": 64, "size": "small"}),
        ({"layer": Layer(3)}, {"layer.units": 3, "layer.size": "small"}),
        ({"layers": [Layer(3)]}, {"layers": [{"units": 3, "size": "small"}]}),
        (Shape(2, 3), {"height": 2, "width": 3}),
        ({"shape": Shape(2, 3)}, {"shape.height": 2, "shape.width": 3}),
        (argparse.Namespace(lr=0.1, sub=argparse.Namespace(a=1)), {"lr": 0.1, "sub.a": 1}),
        (types.SimpleNamespace(lr=0.1, sub=types.SimpleNamespace(a=(1, 2))), {"lr": 0.1, "sub.a": [1, 2]}),
        (
            Model(lr=1, more=[1]),  # type: ignore[call-arg]
            {"lr": 1.0, "key": "**********", "layer.units": 64, "layer.size": "small", "more": [1]},
        ),
        (Root({"a": 1}), {"a": 1}),
        ({"root": Root({"a": 1})}, {"root.a": 1}),
        (OldModel(), {"lr": 0.1, "inner.a": 1}),
        (OldRoot(__root__={"a": 1}), {"a": 1}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_objects_with_named_values(config: object, expected: dict[str, Any]) -> None:
    flat, nested = flatten_params(config)
    assert flat == expected
    assert unflatten(flat) == nested


def test_an_estimator_gives_all_its_params_and_nested_estimators_as_text() -> None:
    estimator = make_pipeline(StandardScaler(with_mean=False), LogisticRegression(C=3, class_weight={0: 1.0, 1: 5.0}))
    flat, _ = flatten_params(estimator)
    assert flat["standardscaler"] == "StandardScaler(...)"
    assert flat["logisticregression"] == "LogisticRegression(...)"
    assert flat["steps"] == [
        ["standardscaler", "StandardScaler(...)"],
        ["logisticregression", "LogisticRegression(...)"],
    ]
    assert flat["standardscaler__with_mean"] is False
    assert flat["logisticregression__C"] == 3
    assert flat["logisticregression__class_weight.1"] == 5.0
    plain = {key for key in estimator.get_params(deep=True) if key != "logisticregression__class_weight"}
    assert set(flat) == plain | {"logisticregression__class_weight.0", "logisticregression__class_weight.1"}


def test_an_estimator_in_a_mapping_gives_its_class_too() -> None:
    flat, nested = flatten_params({"model": LogisticRegression(C=3), "seed": 1})
    assert flat["model.class"] == "LogisticRegression"
    assert flat["model.C"] == 3
    assert nested["model"]["class"] == "LogisticRegression"


def test_omegaconf_is_resolved() -> None:
    omegaconf = pytest.importorskip("omegaconf")
    config = omegaconf.OmegaConf.create({"a": 1, "b": {"c": "${a}", "d": ["${a}", "???"]}, "e": "???"})
    expected = {"a": 1, "b.c": 1, "b.d": [1, "???"], "e": "???"}
    assert flatten_params(config)[0] == expected
    assert flatten_params({"inner": config})[0] == {f"inner.{key}": value for key, value in expected.items()}
    assert encode_param(config.b.d).text == '[1, "???"]'
    with pytest.raises(InvalidValueError, match="resolve"):
        flatten_params(omegaconf.OmegaConf.create({"a": "${missing}"}))


def test_attrs_classes() -> None:
    attrs = pytest.importorskip("attrs")
    point = attrs.make_class("Point", ["x", "y"])
    assert flatten_params(point(1, [2]))[0] == {"x": 1, "y": [2]}
    assert flatten_params({"p": attrs.make_class("Slotted", ["x"], slots=True)(3)})[0] == {"p.x": 3}


@pytest.mark.parametrize("config", [None, 1, "text", [("a", 1)], object(), Layer, LogisticRegression, np.zeros(3)])
def test_what_has_no_named_values_is_refused(config: object) -> None:
    with pytest.raises(InvalidValueError, match="log_param"):
        flatten_params(config)


def test_keys_that_are_not_text_become_text() -> None:
    flat, nested = flatten_params({2: {None: 1}, True: 2, Size.SMALL: 3, 0.5: 4, ("a", 1): 5, Named.SMALL: 6})
    assert flat == {"2.None": 1, "True": 2, "Size.SMALL": 3, "0.5": 4, "('a', 1)": 5, "small": 6}
    assert nested["2"] == {"None": 1}
    assert all(type(key) is str for key in [*flat, *nested])


# -- names -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config, both",
    [
        ({"a.b": 1, "a": {"b": 2}}, ["['a.b']", "['a']['b']"]),
        ({"a": {"b": {"c": 1}, "b.c": 2}}, ["['a']['b']['c']", "['a']['b.c']"]),
        ({1: "x", "1": "y"}, ["'1' (int)", "'1' (str)"]),
        ({"a": {None: 1, "None": 2}}, ["'None' (NoneType)", "'None' (str)"]),
        ({"a": {1: {"x": 1}, "1": {"y": 1}}}, ["'1' (int)", "'1' (str)"]),
    ],
)
def test_two_values_of_one_name_are_refused_by_both_their_places(config: dict[Any, Any], both: list[str]) -> None:
    with pytest.raises(InvalidValueError) as refusal:
        flatten_params(config)
    assert all(place in str(refusal.value) for place in both), str(refusal.value)


def test_a_prefix_of_another_name_is_no_collision() -> None:
    assert flatten_params({"a": 1, "a.b": 2})[0] == {"a": 1, "a.b": 2}


def test_a_name_that_cannot_be_stored_costs_only_itself() -> None:
    flat, nested = flatten_params({"": 1, "\ud800": {"\0": 2}, "x" * 2000: 3, "good": 4})
    assert list(flat.values()) == [1, 2, 3, 4]
    refused = [key for key in flat if _is_refused(key)]
    assert len(refused) == 3
    assert nested["good"] == 4
    assert json.dumps(nested, ensure_ascii=False).encode()  # no lone surrogate is left


def _is_refused(key: str) -> bool:
    try:
        check_key(key, "param")
    except InvalidValueError:
        return True
    return False


def test_lone_surrogates_in_the_nested_original_are_escaped_visibly() -> None:
    flat, nested = flatten_params({"a": ["\ud800", "\\ud800", 'q"\n']})
    assert flat == {"a": ["\ud800", "\\ud800", 'q"\n']}
    assert nested == {"a": ["\\ud800", "\\ud800", 'q"\n']}


# -- hostile configurations --------------------------------------------------------------------------------------------


class Mute:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def looped_dict() -> dict[str, Any]:
    config: dict[str, Any] = {"a": {"b": {}}}
    config["a"]["b"]["c"] = config
    return config


def looped_namespace() -> types.SimpleNamespace:
    config = types.SimpleNamespace(a=1)
    config.itself = config
    return config


def nested_dict(levels: int, leaf: object = 0) -> dict[str, Any]:
    config: Any = leaf
    for _ in range(levels):
        config = {"a": config}
    return dict(config)


def doubling(levels: int, leaf: object) -> dict[str, Any]:
    """One object at 2**levels places."""
    config: Any = leaf
    for _ in range(levels):
        config = {"a": config, "b": config}
    return dict(config)


class Generating(Mapping[str, Any]):
    """Without end in breadth and in depth."""

    def __getitem__(self, key: str) -> Any:
        return Generating()

    def __iter__(self) -> Iterator[str]:
        return (str(number) for number in iter(int, 1))

    def __len__(self) -> int:
        return 1


class Fresh(Mapping[str, Any]):
    """Without end in depth, no two levels the same object."""

    def __getitem__(self, key: str) -> Any:
        return Fresh()

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    "config, match",
    [
        (looped_dict(), "contains itself"),
        (looped_namespace(), "contains itself"),
        (nested_dict(MAX_DEPTH + 1), "deeper than 64"),
        (nested_dict(10_000), "deeper than 64"),
        (Fresh(), "deeper than 64"),
        (Generating(), "more than 10,000"),
        ({str(number): number for number in range(MAX_PARAMS + 1)}, "more than 10,000"),
        ({str(number): number for number in range(10**5)}, "more than 10,000"),
        (doubling(20, 1), "more than 10,000"),
        (doubling(20, {}), "more than 10,000"),
        ({"x" * 10**6: dict.fromkeys(map(str, range(5000)))}, "keys are too long"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_bound_is_refused_in_bounded_time(config: object, match: str) -> None:
    begin = time.process_time()
    with pytest.raises(InvalidValueError, match=match) as refusal:
        flatten_params(config)
    assert time.process_time() - begin < 2
    assert len(str(refusal.value)) < 600


def test_the_deepest_and_the_most_are_accepted() -> None:
    assert flatten_params(nested_dict(MAX_DEPTH))[0] == {".".join("a" * MAX_DEPTH): 0}
    many = {str(number): number for number in range(MAX_PARAMS)}
    assert flatten_params(many)[0] == many
    long = {f"{number:01024d}": number for number in range(MAX_PARAMS)}
    assert len(next(iter(flatten_params(long)[0]))) == MAX_KEY_BYTES


@pytest.mark.parametrize(
    "value, match",
    [
        (np.zeros(10**6), "artifact"),
        ("x" * (MAX_TEXT_BYTES + 1), "artifact"),
        (10**70_000, "digits"),
        (Mute(), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_cannot_be_a_param_costs_only_itself(value: object, match: str | None) -> None:
    flat, nested = flatten_params({"before": 1, "deep": {"bad": value}, "after": 2})
    assert (flat["before"], flat["after"]) == (1, 2)
    assert list(flat) == ["before", "deep.bad", "after"]
    json.dumps(nested)
    if match is None:
        assert encode_param(flat["deep.bad"]) == encode_param(value)
        return
    assert match in nested["deep"]["bad"] or nested["deep"]["bad"] == value
    with pytest.raises(InvalidValueError, match=match):
        encode_param(flat["deep.bad"])


def test_a_value_whose_code_raises_costs_only_itself() -> None:
    class Broken(LogisticRegression):
        def get_params(self, deep: bool = True) -> dict[str, Any]:
            raise OSError("disk on fire")

    looped: list[Any] = []
    looped.append(looped)
    flat, nested = flatten_params({"good": 1, "looped": looped, "broken": Broken()})
    assert flat["good"] == 1
    assert nested["looped"] == "<a value of type list contains itself>"
    with pytest.raises(InvalidValueError, match="contains itself"):
        encode_param(flat["looped"])
    assert encode_param(flat["broken"]).text == "Broken(...)"
    with pytest.raises(InvalidValueError, match="disk on fire"):
        flatten_params(Broken())


def test_huge_ints_stand_as_text_in_the_nested_original() -> None:
    flat, nested = flatten_params({"n": 10**1000, "m": [10**1000]})
    assert flat["n"] == 10**1000
    assert nested == {"n": "1" + "0" * 1000, "m": ["1" + "0" * 1000]}


class Changing(collections.UserDict[str, int]):
    """Changes while it is read, as many times as it is told to."""

    def __init__(self, n_times: int) -> None:
        super().__init__({"a": 1, "b": 2})
        self.n_times = n_times

    def __iter__(self) -> Iterator[str]:
        for number, key in enumerate(self.data):
            yield key
            if number == 0 and self.n_times > 0:
                self.n_times -= 1
                self.data[f"new{self.n_times}"] = self.n_times


def test_a_mapping_that_changes_while_it_is_read_is_read_again() -> None:
    flat, _ = flatten_params(Changing(2))
    assert flat == {"a": 1, "b": 2, "new1": 1, "new0": 0}


def test_a_mapping_that_never_stops_changing_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"pass a copy.*changed size"):
        flatten_params(Changing(10**6))


def test_a_dict_that_another_thread_changes_gives_params_or_a_refusal() -> None:
    config: dict[str, Any] = {str(number): {"a": number} for number in range(300)}
    is_over = threading.Event()

    def change() -> None:
        number = 0
        while not is_over.is_set():
            number += 1
            config[f"new{number % 50}"] = number
            config.pop(f"new{(number + 25) % 50}", None)

    thread = threading.Thread(target=change)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread.start()
    try:
        sizes = {len(flatten_params(config)[0]) for _ in range(30)}
    finally:
        is_over.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert min(sizes) >= 300


def test_a_config_class_without_its_library_loaded_is_a_plain_object() -> None:
    code = (
        "import sys; from mlops_sdk.values.params import flatten_params;"
        "DictConfig = type('DictConfig', (), {}); print(flatten_params({'a': DictConfig()})[0]);"
        "print([name for name in ('omegaconf', 'numpy', 'argparse') if name in sys.modules])"
    )
    root = pathlib.Path(mlops_sdk.__file__).parents[1]
    printed = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == ["{'a': '<__main__.DictConfig object>'}", "[]"]
