"""What a value is, and figures, images and JSON as bytes."""

from __future__ import annotations

import dataclasses
import decimal
import fractions
import hashlib
import io
import json
import math
import os
import pathlib
import subprocess
import sys
import types
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression

import mlops_sdk
from mlops_sdk.errors import InvalidValueError
from mlops_sdk.values.media import classify, extension_of, render_figure, render_image, render_json


def a_figure() -> Figure:
    figure = Figure(figsize=(2, 2))
    axes = figure.subplots()
    axes.plot([1, 2, 3], [1, 4, 9], label="β")
    axes.fill_between([1, 2], [1, 2], hatch="//")
    axes.legend()
    return figure


class Plotly:
    """What plotly figures offer."""

    def to_html(self, **options: Any) -> str:
        return f"<html>{sorted(options.items())}</html>"

    def write_html(self, file: str) -> None: ...

    def to_json(self) -> str:
        return '{"data": []}'


class Grid:
    """What seaborn's grids offer."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure


def kind_of(value: object) -> str:
    return type(value).__name__


# -- what it is --------------------------------------------------------------------------------------------------------

FIGURE = a_figure()


@pytest.mark.parametrize(
    "value, content",
    [
        *[(value, "metric") for value in (1, 0.5, True, math.nan, np.float32(1), np.bool_(True), np.array(3))],
        *[(value, "metric") for value in (decimal.Decimal(1), fractions.Fraction(1, 2), np.array([0.5]), 10**400)],
        *[(value, "figure") for value in (FIGURE, FIGURE.axes[0], Grid(FIGURE), FIGURE.subfigures(), Plotly())],
        *[(value, "image") for value in (PIL.Image.new("RGB", (2, 2)), np.zeros((2, 3), np.uint8))],
        *[(np.zeros(shape, np.uint8), "image") for shape in ((2, 3, 1), (2, 3, 3), (2, 3, 4))],
        (pd.DataFrame({"a": [1]}), "table"),
        *[("", "text"), ("x", "text"), (np.str_("x"), "text")],
        *[({}, "json"), (types.MappingProxyType({"a": 1}), "json"), ([], "json"), (("a", 1), "json")],
    ],
    ids=kind_of,
)
def test_classify(value: object, content: str) -> None:
    assert classify(value) == content


@pytest.mark.parametrize(
    "value, method",
    [
        *[(np.zeros(3), "log_metric"), (np.zeros((4, 4)), "log_image"), (np.zeros((3, 8, 8), np.uint8), "log_image")],
        *[(pd.Series([1, 2]), "log_table"), (np.array("x"), "log_metric"), (np.datetime64("2020"), "log_metric")],
        *[(LogisticRegression(), "log_model"), (pathlib.Path("a.txt"), "log_artifact"), (b"x", "log_artifact")],
        *[(None, "log_param"), (1j, "log_param"), (object(), "log_param"), ({1}, "log_param"), (Figure, "log_param")],
    ],
    ids=kind_of,
)
def test_what_log_does_not_take_is_refused_by_the_method_that_does(value: object, method: str) -> None:
    with pytest.raises(InvalidValueError, match=method):
        classify(value)


def test_classifying_an_object_whose_attributes_raise() -> None:
    class Hostile:
        def __getattr__(self, name: str) -> object:
            raise OSError("disk on fire")

    with pytest.raises(InvalidValueError, match="disk on fire"):
        classify(Hostile())


def test_the_figure_of_a_scikit_learn_display_is_found() -> None:
    display = types.SimpleNamespace(figure_=FIGURE)
    assert classify(display) == "figure"


@pytest.mark.parametrize(
    "value, extension", [(FIGURE, ".png"), (Plotly(), ".html"), ("a", ".txt"), ({}, ".json"), (pd.DataFrame(), ".csv")]
)
def test_extension_of(value: object, extension: str) -> None:
    assert extension_of(value) == extension


# -- figures -----------------------------------------------------------------------------------------------------------

MAGIC = {
    "": b"\x89PNG",
    ".png": b"\x89PNG",
    ".PNG": b"\x89PNG",
    ".svg": b"<?xml",
    ".pdf": b"%PDF",
    ".jpg": b"\xff\xd8",
    ".jpeg": b"\xff\xd8",
    ".webp": b"RIFF",
}


@pytest.mark.parametrize("extension", MAGIC)
def test_the_extension_decides_the_format_and_equal_figures_give_equal_bytes(extension: str) -> None:
    data = render_figure(a_figure(), f"plots.v2/roc{extension}")
    assert data.startswith(MAGIC[extension])
    assert render_figure(a_figure(), f"roc{extension}") == data
    assert b"atplotlib v" not in data
    assert b"CreationDate" not in data


@pytest.mark.parametrize("make", [lambda figure: figure.axes[0], Grid, lambda figure: figure.subfigures()])
def test_what_belongs_to_a_figure_is_drawn_as_the_whole(make: Any) -> None:
    figure = a_figure()
    part = make(figure)
    assert render_figure(part, "a.png") == render_figure(figure, "a.png")


def test_a_figure_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rcParams, "svg.hashsalt", None)
    figure = a_figure()
    canvas = FigureCanvasAgg(figure)
    settings = dict(rcParams)
    dpi, size = figure.dpi, figure.get_size_inches().tolist()
    for extension in (".png", ".svg", ".pdf"):
        render_figure(figure, f"a{extension}")
    assert figure.canvas is canvas
    assert (figure.dpi, figure.get_size_inches().tolist()) == (dpi, size)
    assert dict(rcParams) == settings


def test_a_salt_that_the_user_chose_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = render_figure(a_figure(), "a.svg")
    monkeypatch.setitem(rcParams, "svg.hashsalt", "theirs")
    theirs = render_figure(a_figure(), "a.svg")
    assert ours != theirs
    assert rcParams["svg.hashsalt"] == "theirs"


@pytest.mark.slow
def test_figures_are_the_same_in_every_process_and_pyplot_stays_out() -> None:
    code = (
        "import hashlib, sys; from matplotlib.figure import Figure; from mlops_sdk.values.media import render_figure\n"
        "for extension in ('.png', '.svg', '.pdf'):\n"
        "    figure = Figure(figsize=(2, 2)); axes = figure.subplots(); axes.plot([1, 2, 3], [1, 4, 9], label='β')\n"
        "    axes.fill_between([1, 2], [1, 2], hatch='//'); axes.legend()\n"
        "    print(hashlib.sha256(render_figure(figure, 'a' + extension)).hexdigest())\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONIOENCODING": "utf-8"}
    root = pathlib.Path(mlops_sdk.__file__).parents[1]
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    here = [hashlib.sha256(render_figure(a_figure(), f"a{end}")).hexdigest() for end in (".png", ".svg", ".pdf")]
    assert printed == [*here, "False"]


def test_a_plotly_figure_is_html_or_json() -> None:
    html = render_figure(Plotly(), "a.html").decode()
    assert "('div_id', 'figure')" in html
    assert "('include_plotlyjs', True)" in html
    assert render_figure(Plotly(), "a") == html.encode()
    assert render_figure(Plotly(), "a.json") == b'{"data": []}'
    with pytest.raises(InvalidValueError, match=r"\.html, \.json"):
        render_figure(Plotly(), "a.png")


def test_real_plotly_figures_are_the_same_bytes_twice() -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects")

    def make() -> Any:
        return graph_objects.Figure(graph_objects.Scatter(x=[1, 2], y=[1, 4]))

    assert classify(make()) == "figure"
    assert render_figure(make(), "a.html") == render_figure(make(), "a.html")
    assert json.loads(render_figure(make(), "a.json"))["data"][0]["type"] == "scatter"


def test_seaborn_grids() -> None:
    seaborn = pytest.importorskip("seaborn")
    grid = seaborn.FacetGrid(pd.DataFrame({"a": [1, 2]}))
    assert classify(grid) == "figure"
    assert render_figure(grid, "a.png").startswith(b"\x89PNG")


def test_figures_that_cannot_be_drawn() -> None:
    with pytest.raises(InvalidValueError, match=r"a\.gif.*\.png, \.svg, \.pdf"):
        render_figure(FIGURE, "a.gif")
    with pytest.raises(InvalidValueError, match="no matplotlib or plotly figure"):
        render_figure([1, 2], "a.png")
    broken = Figure()
    broken.text(0.5, 0.5, r"$\nonsense$")
    with pytest.raises(InvalidValueError, match="could not be drawn"):
        render_figure(broken, "a.png")


# -- images ------------------------------------------------------------------------------------------------------------


def opened(data: bytes) -> Any:
    return np.asarray(PIL.Image.open(io.BytesIO(data)))


@pytest.mark.parametrize(
    "shape, file",
    [
        ((5, 4), "a"),
        ((5, 4), "a.png"),
        ((5, 4, 1), "a.png"),
        ((5, 4, 3), "a.png"),
        ((5, 4, 4), "a.PNG"),
        ((5, 4, 3), "a.webp"),
        ((5, 4, 4), "a.webp"),
    ],
)
def test_pixels_come_back_exactly(shape: tuple[int, ...], file: str) -> None:
    pixels = np.random.default_rng(0).integers(1, 256, shape).astype(np.uint8)
    data = render_image(pixels, file)
    assert np.array_equal(opened(data), pixels[:, :, 0] if shape[-1] == 1 else pixels)
    assert render_image(pixels.copy(), file) == data


def test_floats_from_0_to_1_and_bools_become_pixels() -> None:
    floats = np.array([[0.0, 0.5, 1.0], [1 / 255, 0.1, 1.0 + 1e-8]], np.float32)
    assert opened(render_image(floats, "a.png")).tolist() == [[0, 128, 255], [1, 26, 255]]
    assert opened(render_image(floats > 0.3, "a.png")).tolist() == [[0, 255, 255], [0, 0, 255]]
    assert opened(render_image(np.asfortranarray(floats), "a.png")).tolist() == [[0, 128, 255], [1, 26, 255]]


def test_pil_images() -> None:
    image = PIL.Image.new("RGB", (2, 3), (1, 2, 3))
    assert opened(render_image(image, "a.png")).tolist() == [[[1, 2, 3]] * 2] * 3
    assert render_image(image, "a.jpg").startswith(b"\xff\xd8")
    assert opened(render_image(PIL.Image.new("1", (1, 1), 1), "a.png")).tolist() == [[True]]


@pytest.mark.parametrize(
    "image, file, match",
    [
        (np.zeros((3, 8, 8)), "a.png", "transpose"),
        (np.zeros(3, np.uint8), "a.png", "no image"),
        (np.zeros((2, 2, 3, 3)), "a.png", "no image"),
        (np.zeros((0, 3), np.uint8), "a.png", "at least one pixel"),
        (np.zeros((2, 2), np.int64), "a.png", "dtype int64"),
        (np.full((2, 2), 2.0), "a.png", "from 2 to 2"),
        (np.full((2, 2), -0.1), "a.png", "scale it"),
        (np.full((2, 2), math.nan), "a.png", "nan"),
        (PIL.Image.new("RGBA", (2, 2)), "a.jpg", "RGBA.*convert"),
        (PIL.Image.new("F", (2, 2)), "a.png", "mode F"),
        (np.zeros((2, 2), np.uint8), "a.gif", r"\.png, \.jpg"),
        ([[0, 1]], "a.png", "no PIL image and no array"),
        (None, "a.png", "no PIL image"),
    ],
    ids=kind_of,
)
def test_images_that_cannot_be_encoded(image: object, file: str, match: str) -> None:
    with pytest.raises(InvalidValueError, match=match):
        render_image(image, file)


# -- JSON --------------------------------------------------------------------------------------------------------------

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | FLOATS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def strictly(data: bytes) -> Any:
    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is not JSON")

    return json.loads(data.decode("utf-8"), parse_constant=refuse)


@given(JSON)
def test_json_comes_back(value: Any) -> None:
    assert strictly(render_json(value, "a.json")) == value


def test_json_is_valid_for_every_parser() -> None:
    value = {
        "b": math.nan,
        "a": [math.inf, -math.inf, -0.0],
        "text": "é\ud800",
        "huge": 10**1000,
        "array": np.arange(2),
    }
    data = render_json(value, "config")
    found = strictly(data)
    assert list(found) == ["b", "a", "text", "huge", "array"]
    assert found["b"] == "NaN"
    assert found["a"] == ["Infinity", "-Infinity", 0]
    assert math.copysign(1, found["a"][2]) == -1
    assert (found["text"], found["huge"], found["array"]) == ("é\ud800", "1" + "0" * 1000, [0, 1])
    assert data.endswith(b"\n")
    assert "é".encode() in render_json({"a": "é"}, "a.json")


def test_json_of_objects() -> None:
    @dataclasses.dataclass
    class Point:
        x: int
        y: object

    assert strictly(render_json([Point(1, {3, 2}), pathlib.PurePosixPath("a")], "a.json")) == [
        {"x": 1, "y": [2, 3]},
        "a",
    ]


def test_large_json_has_no_limit_of_params() -> None:
    value = {"data": list(range(100_000)), "text": "x" * 10**6}
    assert strictly(render_json(value, "a.json")) == value


def test_json_that_cannot_be_written() -> None:
    looped: list[Any] = []
    looped.append(looped)
    with pytest.raises(InvalidValueError, match="contains itself"):
        render_json(looped, "a.json")
    with pytest.raises(InvalidValueError, match=r"\.json, \.yaml, \.yml"):
        render_json({}, "a.toml")


def test_yaml() -> None:
    yaml = pytest.importorskip("yaml")
    value = {"b": [1, math.inf, None], "a": "é: #", "t": "\ud800", "no": "yes", "f": 1e20}
    for file in ("a.yaml", "a.yml", "a.YML"):
        data = render_json(value, file)
        assert yaml.safe_load(data) == value
        assert data == render_json(dict(value), file)
    assert render_json({"b": 1, "a": 2}, "a.yaml") == b"b: 1\na: 2\n"


def test_yaml_without_its_library_names_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(InvalidValueError, match=r"pip install pyyaml.*\.json"):
        render_json({}, "a.yaml")
