"""What a logged object is, and pictures and JSON as bytes; equal content gives equal bytes, so that it is stored once.

The renderers (`render_table` stands in `mlops_sdk.values.tables`) take the artifact's name and go by its extension. They
read what they are given and change nothing of it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.values.describing import Refusing, type_name
from mlops_sdk.values.expanding import is_estimator
from mlops_sdk.values.extensions import checked_extension
from mlops_sdk.values.foreign import array_shape, comes_from
from mlops_sdk.values.plain import json_int, named_floats, to_plain
from mlops_sdk.values.tables import is_frame, render_table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from matplotlib.figure import Figure
    from PIL.Image import Image

__all__ = ["Content", "classify", "extension_of", "render_figure", "render_image", "render_json", "render_table"]

Content = Literal["metric", "figure", "image", "table", "text", "json"]

MAX_JSON_CHARS = 1 << 30
"""Longest JSON artifact, roughly, that is made of an object."""

_FIGURE_METADATA: dict[str, dict[str, None] | None] = {
    # without dates and versions
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".jpg": None,
    ".jpeg": None,
    ".webp": None,
}
_IMAGE_OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG"},
    ".jpg": {"format": "JPEG", "quality": 95},
    ".jpeg": {"format": "JPEG", "quality": 95},
    ".webp": {"format": "WEBP", "lossless": True},
}
_ROUNDING = 1e-6  # a float image may leave 0..1 by what float32 arithmetic rounds


# -- what it is --------------------------------------------------------------------------------------------------------


def classify(value: object) -> Content:
    """Say what kind of content a value is, by its type.

    Parameters
    ----------
    value : object
        metric: a real number, a bool, an array or tensor of shape () or (1,). figure: a matplotlib Figure, what belongs
        to one (Axes, seaborn grids, scikit-learn displays), a plotly figure. image: a PIL image, a uint8 array of shape
        (h, w), (h, w, 1), (h, w, 3) or (h, w, 4). table: a pandas or polars DataFrame, a pyarrow Table. text: a str. json:
        a mapping, list or tuple.

    Returns
    -------
    {"metric", "figure", "image", "table", "text", "json"}

    Raises
    ------
    InvalidValueError
        If it is anything else; the text names the method that takes it.

    Notes
    -----
    Imports nothing: an object can only come from a library that is loaded.
    """
    with Refusing("an object of type {} could not be read", value):
        for content, fits in _CONTENTS:
            if fits(value):
                return content
    raise _no_content(value)


def _is_number(value: Any) -> bool:
    shape = array_shape(value)
    if shape is not None:
        kind = getattr(value.dtype, "kind", "f")
        return shape in ((), (1,)) and kind in "biuf"
    return isinstance(value, Real) or comes_from(value, "decimal", "Decimal")


def _is_figure(value: Any) -> bool:
    return _is_plotly(value) or _matplotlib_figure(value) is not None


def _is_plotly(value: object) -> bool:
    return hasattr(type(value), "write_html") and hasattr(type(value), "to_html")


def _matplotlib_figure(value: Any) -> Figure | None:
    """The outermost figure that an object is or belongs to."""
    candidate: Any
    for candidate in (value, getattr(value, "figure", None), getattr(value, "figure_", None)):
        if comes_from(candidate, "matplotlib.figure", "FigureBase"):
            figure: Figure = candidate.canvas.figure  # of a SubFigure: the whole
            return figure
    return None


def _is_image(value: Any) -> bool:
    if comes_from(value, "PIL.Image", "Image"):
        return True
    return comes_from(value, "numpy", "ndarray") and value.dtype == "uint8" and _has_image_shape(value.shape)


def _has_image_shape(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))


_CONTENTS: tuple[tuple[Content, Callable[[Any], bool]], ...] = (
    ("metric", _is_number),
    ("text", lambda value: isinstance(value, str)),
    ("json", lambda value: isinstance(value, (Mapping, list, tuple))),
    ("table", is_frame),
    ("image", _is_image),
    ("figure", _is_figure),
)


def _no_content(value: Any) -> InvalidValueError:
    if array_shape(value) is not None:
        way = "log_metric() takes one number, log_image() pictures (uint8, or floats from 0 to 1), log_table() tables"
    elif is_estimator(value) or hasattr(type(value), "predict") or hasattr(type(value), "state_dict"):
        way = "log_model() takes models"
    elif isinstance(value, os.PathLike):
        way = "log_artifact() takes the path of a file"
    elif isinstance(value, (bytes, bytearray, memoryview)):
        way = "log_artifact() takes files"
    else:
        way = "log_param() takes any setting, log_model() models, log_artifact() files"
    return InvalidValueError(f"log() does not know what an object of type {type_name(value)} is: {way}")


# -- figures -----------------------------------------------------------------------------------------------------------


def extension_of(value: object) -> str:
    """The extension that suits a value when its name has none: ``.html`` of a plotly figure, ``.png`` of another, ..."""
    by_content = {"figure": ".png", "image": ".png", "table": ".csv", "text": ".txt", "json": ".json", "metric": ""}
    return ".html" if _is_plotly(value) else by_content[classify(value)]


def render_figure(fig: object, file: str | os.PathLike[str]) -> bytes:
    """Draw a figure.

    Parameters
    ----------
    fig : matplotlib Figure, Axes or what belongs to a figure; plotly figure
    file : str
        Of matplotlib: ``.png`` (also without an extension), ``.svg``, ``.pdf``, ``.jpg``, ``.webp``. Of plotly:
        ``.html`` (also without an extension; opens without a network) or ``.json`` (small).

    Returns
    -------
    bytes
        The same for the same figure: without dates, versions and random ids.

    Raises
    ------
    InvalidValueError
        If it is no figure, the extension is another, or drawing it raised.

    Notes
    -----
    The figure stays open and on its canvas; pyplot is not used. matplotlib is not thread-safe: draw a figure in the thread
    that works on it.
    """
    with Refusing("a figure of type {} could not be drawn", fig):
        if _is_plotly(fig):
            return _render_plotly(fig, file)
        figure = _matplotlib_figure(fig)
        if figure is None:
            raise InvalidValueError(f"an object of type {type_name(fig)} is no matplotlib or plotly figure")
        extension = checked_extension(file, _FIGURE_METADATA, ".png")
        buffer = BytesIO()
        with _fixed_ids():
            figure.savefig(buffer, format=extension[1:], metadata=_FIGURE_METADATA[extension])
        return buffer.getvalue()


@contextmanager
def _fixed_ids() -> Iterator[None]:
    """While it is open, ids in an SVG are hashes of content; a salt that the user chose is kept."""
    from matplotlib import rcParams  # loaded already: the figure comes from it

    salt = rcParams["svg.hashsalt"]
    rcParams["svg.hashsalt"] = salt or "mlops_sdk"
    try:
        yield
    finally:
        rcParams["svg.hashsalt"] = salt


def _render_plotly(fig: Any, file: str | os.PathLike[str]) -> bytes:
    if checked_extension(file, (".html", ".json"), ".html") == ".json":
        return str(fig.to_json()).encode()
    # the library itself inside: a link to it would show nothing without a network, or in ten years; the id is random else
    return str(fig.to_html(include_plotlyjs=True, full_html=True, div_id="figure")).encode()


# -- images ------------------------------------------------------------------------------------------------------------


def render_image(img: object, file: str | os.PathLike[str]) -> bytes:
    """Encode an image.

    Parameters
    ----------
    img : PIL image, or array or tensor of shape (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)
        Of dtype uint8, bool, or float from 0 to 1.
    file : str
        ``.png`` (also without an extension), ``.jpg`` (quality 95), ``.webp`` (lossless).

    Returns
    -------
    bytes
        The same for the same pixels.

    Raises
    ------
    InvalidValueError
        If it is no image, has no pixels, floats outside 0 to 1 or NaN, or a mode that the format lacks.
    """
    with Refusing("an image of type {} could not be encoded", img):
        options = _IMAGE_OPTIONS[checked_extension(file, _IMAGE_OPTIONS, ".png")]
        image = _pil_image(img)
        if 0 in image.size:
            raise InvalidValueError("an image needs at least one pixel")
        buffer = BytesIO()
        try:
            image.save(buffer, **options)
        except OSError as error:
            raise InvalidValueError(f"{error}: use a .png name, or image.convert('RGB')") from error
        return buffer.getvalue()


def _pil_image(img: Any) -> Image:
    if comes_from(img, "PIL.Image", "Image"):
        image: Image = img
        return image
    if array_shape(img) is None:
        raise InvalidValueError(f"an object of type {type_name(img)} is no PIL image and no array")
    from PIL.Image import fromarray

    pixels = _pixels(img)
    return fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)


def _pixels(img: Any) -> npt.NDArray[np.uint8]:
    import numpy as np

    array: npt.NDArray[Any] = np.asarray(img.detach().cpu() if hasattr(type(img), "detach") else img)
    if not _has_image_shape(array.shape):
        raise InvalidValueError(
            f"an array of shape {array.shape} is no image: (h, w), (h, w, 1), (h, w, 3) and (h, w, 4) are; "
            "transpose(1, 2, 0) brings the channels to the end"
        )
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == np.bool_:
        return np.where(array, np.uint8(255), np.uint8(0))
    if array.dtype.kind != "f":
        raise InvalidValueError(f"an image of dtype {array.dtype}: uint8, or floats from 0 to 1, are pictures")
    return _from_floats(array.astype(np.float64))


def _from_floats(array: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    import numpy as np

    if array.size and not (array.min() >= -_ROUNDING and array.max() <= 1 + _ROUNDING):  # NaN fails too
        raise InvalidValueError(
            f"a float image has values from 0 to 1, not from {array.min():.6g} to {array.max():.6g}: scale it, or "
            "numpy.clip(image, 0, 1)"
        )
    pixels: npt.NDArray[np.uint8] = np.rint(array.clip(0, 1) * 255).astype(np.uint8)
    return pixels


# -- JSON --------------------------------------------------------------------------------------------------------------


def render_json(obj: object, file: str | os.PathLike[str]) -> bytes:
    """Write an object as JSON or YAML, UTF-8.

    Parameters
    ----------
    obj : object
        Converted as `mlops_sdk.values.plain.to_plain` says; the order of keys is kept.
    file : str
        ``.json`` (also without an extension), ``.yaml`` or ``.yml`` (needs PyYAML).

    Returns
    -------
    bytes
        JSON that every parser takes: NaN and infinities, which JSON lacks, become the strings "NaN", "Infinity" and
        "-Infinity", as in the JSON mapping of Protocol Buffers [1]_. YAML has numbers for them.

    Raises
    ------
    InvalidValueError
        If the extension is another, PyYAML is not there, or the object contains itself, nests deeper than 64 levels or
        cannot be read.

    References
    ----------
    .. [1] https://protobuf.dev/programming-guides/json/
    """
    extension = checked_extension(file, (".json", ".yaml", ".yml"), ".json")
    plain = json_int(to_plain(obj, max_chars=MAX_JSON_CHARS))
    with Refusing("an object of type {} could not be written as " + extension[1:], obj):
        return _json_bytes(plain) if extension == ".json" else _yaml_bytes(plain)


def _json_bytes(plain: object) -> bytes:
    try:
        text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False)
    except ValueError:
        text = json.dumps(named_floats(plain), indent=2, ensure_ascii=False, allow_nan=False)
    try:
        return (text + "\n").encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can only escape
        return (json.dumps(json.loads(text), indent=2) + "\n").encode()


def _yaml_bytes(plain: object) -> bytes:
    try:
        yaml = import_module("yaml")
    except ImportError as error:
        raise InvalidValueError("YAML needs PyYAML (pip install pyyaml): or use a .json name") from error
    return bytes(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, encoding="utf-8"))
