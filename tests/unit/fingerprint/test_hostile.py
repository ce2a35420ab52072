"""Input that lies, breaks, or never ends: a clear error that names the type and the way out, never a hash of a part."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mlops_sdk
from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.fingerprint import Fingerprint
from mlops_sdk.fingerprint.making import fingerprint


class Colour(enum.Enum):
    RED = 1


class Liar:
    """Says one shape, makes another."""

    shape = (1_000_000, 1_000_000)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        return np.zeros(3)


class NoArray:
    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        made = np.empty((), dtype=object)
        made[()] = self
        return made


class Raising:
    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        raise RuntimeError("no")


def within(value: Any) -> list[Any]:
    return [value]


LOOP: list[Any] = []
LOOP.append(LOOP)
CIRCLE: dict[str, Any] = {}
CIRCLE["self"] = CIRCLE


@pytest.mark.parametrize(
    "data, words",
    [
        (object(), "builtins.object"),
        (5, "builtins.int"),
        (None, "NoneType"),
        (b"bytes", "builtins.bytes"),
        ({1, 2}, "builtins.set"),
        ({}, "builtins.dict"),
        (lambda: None, "function"),
        (Liar(), "says its shape"),
        (NoArray(), "and is not"),
        (np.array(5.0), "no dimensions"),
        (within(object()), "builtins.object"),
        (within({1}), "set"),
        (within(Colour.RED), "Colour"),
        (within({"a": [object()]}), "builtins.object"),
        (within([{1: 2}]), "only texts"),
        (within("\ud800"), "surrogate"),
        (LOOP, "contain itself"),
        (CIRCLE, "contain itself"),
        (pd.Series(pd.period_range("2020", periods=2)), "PeriodDtype"),
        (np.array([1], dtype="m8[M]"), "no fixed length"),
        (np.array([1], dtype="M8[ps]"), "between nanoseconds"),
        (np.zeros(2, dtype="V5"), "no canonical form"),
        (np.lib.stride_tricks.as_strided(np.zeros(1), (1, 2_000_000), (0, 0)), "columns"),
        (fingerprint([1]), "fingerprint already"),
        ("/nowhere/at/all.csv", "no file"),
        ("nul\0byte", "no file"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_it_is_an_error_in_words(data: Any, words: str) -> None:
    with pytest.raises(InvalidValueError, match=words) as caught:
        fingerprint(data)
    assert len(str(caught.value)) < 600


def test_an_error_of_the_users_object_comes_out_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="no"):
        fingerprint(Raising())


def test_huge_shapes_of_nothing_cost_nothing() -> None:
    assert fingerprint(np.empty((0, 3))).n_rows == 0
    assert fingerprint(np.lib.stride_tricks.as_strided(np.zeros(1), (3, 2, 2), (0, 0, 0))).n_rows == 3


def test_chunks_with_other_columns_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="columns b, those before it a"):
        fingerprint(iter([[{"a": 1}], [{"b": 1}]]))


def test_special_files_are_refused(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "fifo.csv")
    with pytest.raises(InvalidValueError, match="regular file"):
        fingerprint(tmp_path / "fifo.csv")
    with pytest.raises(InvalidValueError, match="regular file"):
        fingerprint(tmp_path)


@pytest.mark.parametrize("name", ["x.parquet", "x.feather", "x.npy", "x.csv.gz", "x.jsonl"])
def test_files_that_are_not_what_their_name_says(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x93NUMPY nonsense \xff" * 40)
    with pytest.raises(InvalidValueError, match=name):
        fingerprint(tmp_path / name)


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidValueError, match=r"x\.npy"):
        fingerprint(tmp_path / "x.npy")


@pytest.mark.parametrize("text", ["a,b\n1\n", "", 'a\n"unfinished', "a\n\xff\n"])
def test_broken_csv(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidValueError, match=r"x\.csv"):
        fingerprint(tmp_path / "x.csv")


SAID = fingerprint({"a": [1.0, 2.0], "s": ["x", None]}).to_dict()


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"version": None}, {"columns": 7}, {"columns": [{}]}, {"n_rows": "many"}, {"lookup": "AAAA"},
        {"smallest": {"k": 1 << 40, "hashes": ""}}, {"smallest": {"k": 4, "hashes": "?"}}, {"lanes": ["x", "y"]}, {"parts": [1]},
        {"secure": "!"}, {"lanes": None, "columns": None},
    ],
    ids=str,
)  # fmt: skip
def test_damaged_records_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError):
        Fingerprint.from_dict(SAID | change)


@pytest.mark.parametrize("data", [None, [], "x", 5, {}])
def test_what_is_no_record_is_refused(data: Any) -> None:
    with pytest.raises(InvalidValueError):
        Fingerprint.from_dict(data)


def test_a_run_counts_what_cannot_be_fingerprinted(tmp_path: Path) -> None:
    with mlops_sdk.start_run(tracking_uri=tmp_path / "s", capture=False, system_metrics=False) as run:
        for data in (object(), Liar(), LOOP, iter([1]), Raising(), "/nowhere"):
            made = run.log_dataset(data, name="x")
            assert not made
            assert made.error
        health = run.health()
    assert health["errors"]["InvalidValueError"] == 5
    assert health["errors"]["RuntimeError"] == 1
    assert list(mlops_sdk.get_run(run.run_id, tracking_uri=tmp_path / "s").datasets) == []
    json.dumps(health["messages"])
