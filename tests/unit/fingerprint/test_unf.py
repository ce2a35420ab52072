"""UNF version 6: every published vector."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.making import fingerprint
from mlops_sdk.fingerprint.unf import number_text

VECTORS: list[tuple[list[Any], str]] = [
    ([0], "YUvj33xEHnzirIHQyZaHow=="),
    ([1], "tv3XYCv524AfmlFyVOhuZg=="),
    ([-300], "ZTXyg54FoMfRDWZl6oWmFQ=="),
    ([3.1415], "vOSZmXXXpKfQcqZ0Cuu5/w=="),
    ([0.00073], "qhw3qzg3fEK0NNfoVxk4jQ=="),
    ([math.nan], "GNcR8/UCnImaPpw47gdPNg=="),
    ([math.inf], "MdAI70WZdDHnu6qmkpqUQg=="),
    ([-math.inf], "A7orv3pgAhljFnGjQVLCog=="),
    ([None], "cJ6AyISHokEeHuTfufIqhg=="),
    ([""], "ECtRuXZaVqPomffPDuOOUg=="),
    (["A character String"], "FYqU7uBl885eHMbpco1ooA=="),
    (["på Færøerne"], "KHM6bKVaVaxWDDsmyerfDA=="),
    ([dt.datetime(2014, 1, 13, 20, 47, 18)], "eaMxex5EHi2LunomVc0SDw=="),
    ([1.23456789, None, 0], "Do5dfAoOOFt4FSj0JcByEw=="),
    (list(range(1, 21)), "/FIOZM/29oC3TK/IE52m2A=="),
    ([6.6666666666666667, 75.216], "+kc3wyGwZ6otDkZwpvswDw=="),
    (["Hello World", "Testing 123"], "r+FDbVC6fKdUjRS6ZIzP4w=="),
]


@pytest.mark.parametrize("values, expected", VECTORS, ids=lambda value: str(value)[:24])
def test_published_vectors(values: list[Any], expected: str) -> None:
    assert fingerprint(values, unf=True).unf == f"UNF:6:{expected}"


def test_published_time_with_a_zone() -> None:
    moment = dt.datetime(2014, 1, 13, 20, 47, 18, tzinfo=dt.timezone(-dt.timedelta(hours=5)))
    assert fingerprint([moment], unf=True).unf == "UNF:6:1Pku/Z/EIRtmpdEepAb1MA=="


def test_columns_are_combined_without_their_headers() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6], "c": [7, 8, 9]})
    assert fingerprint(frame).unf == "UNF:6:ukDZSJXck7fn4SlPJMPFTQ=="
    assert fingerprint(frame[["c", "a", "b"]]).unf == "UNF:6:ukDZSJXck7fn4SlPJMPFTQ=="


def test_iris() -> None:
    from sklearn.datasets import load_iris

    data = load_iris()
    columns: dict[str, Any] = {name: data.data[:, place] for place, name in enumerate(data.feature_names)}
    published = [
        "FnQvOCZE9tcn64bP78wLag==",
        "epaV+rjvURem8qIo0r9LBQ==",
        "KP6tL8gFSqnG3FLJ887o/g==",
        "TN39UY6H/vRGv4ARWQTXrw==",
    ]
    # R's iris differs from sklearn's in three cells of rows 35 and 38
    columns["sepal length (cm)"] = columns["sepal length (cm)"].copy()
    width, petal_width = columns["sepal width (cm)"].copy(), columns["petal width (cm)"].copy()
    petal_length = columns["petal length (cm)"].copy()
    width[34], petal_width[34], width[37], petal_length[37], petal_width[37] = 3.1, 0.2, 3.6, 1.4, 0.1
    columns |= {"sepal width (cm)": width, "petal width (cm)": petal_width, "petal length (cm)": petal_length}
    made = [fingerprint(column, unf=True).unf for column in columns.values()]
    assert sorted(made) == sorted(f"UNF:6:{each}" for each in published)
    columns["Species"] = [name for name in ("setosa", "versicolor", "virginica") for _ in range(50)]
    assert fingerprint(columns, unf=True).unf == "UNF:6:6oVTvlCR+F1W1HTJ/QUmkA=="


@pytest.mark.parametrize(
    "value, text",
    [
        (1, "+1.e+"),
        (-300, "-3.e+2"),
        (0.00073, "+7.3e-4"),
        (1.2345675, "+1.234568e+"),
        (-0.0, "-0.e+"),
        (12345678, "+1.234568e+7"),
    ],
)
def test_numbers_as_text(value: float, text: str) -> None:
    assert number_text(value) == text


def test_it_is_computed_later_only_from_the_same_data() -> None:
    values = np.arange(3.0)
    made = fingerprint(values)
    values[0] = 7
    with pytest.raises(InvalidValueError, match="changed"):
        made.unf  # noqa: B018 - the access is the subject
    gone = fingerprint(np.arange(3.0))
    with pytest.raises(InvalidValueError, match="unf=True"):
        gone.unf  # noqa: B018 - the access is the subject
