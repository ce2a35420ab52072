"""Params: one flat mapping of typed values out of any configuration, and each value as text that reads back exactly."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.values.describing import Refusing, shown, type_name
from mlops_sdk.values.expanding import as_mapping, is_estimator
from mlops_sdk.values.nested import MAX_KEY_BYTES, Path, flatten
from mlops_sdk.values.plain import MAX_TEXT_BYTES, int_from_text, int_text, json_int, to_plain

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict, ParamValue

MAX_PARAMS = 10_000
"""Most params of one call."""

_SURROGATE = re.compile("[\ud800-\udfff]")


class EncodedParam(NamedTuple):
    """A param as it is stored.

    Attributes
    ----------
    kind : {"none", "bool", "int", "float", "str", "json"}
    text : str
        Canonical: at most 64 KiB of UTF-8, without NUL or lone surrogates.
    number : float or None
        For filters and ordering: of a bool, an int (infinite where float64 ends) and a float; None for NaN.
    """

    kind: str
    text: str
    number: float | None


def flatten_params(config: object) -> tuple[dict[str, ParamValue], JsonDict]:
    """Flatten a configuration with dots.

    Parameters
    ----------
    config : mapping, dataclass, attrs or pydantic object, namespace, OmegaConf config, named tuple or estimator
        Nested ones flatten; lists, tuples, sets and arrays are one value each. Keys that are not text become ``str(key)``.
        A nested estimator gives its params and its class as ``KEY.class`` (a word that no param can have for a name).

    Returns
    -------
    flat : dict of str to ParamValue
        Plain data in the order of `config`. A value that cannot be a param (too large, or its own code raises) stands
        there as it was given: `encode_param` refuses it, so that it costs only itself. Keys are for `check_key`.
    nested : dict
        The nested original as JSON-able data, lone surrogates escaped; the reason in place of a value that cannot be
        a param.

    Raises
    ------
    InvalidValueError
        If it is none of these, contains itself, is deeper than 64 levels or has more than 10,000 params, or if two keys
        are the same name (``{"a.b": 1, "a": {"b": 2}}``).

    Examples
    --------
    >>> flatten_params({"lr": 0.1, "model": {"layers": [64, 64]}})
    ({'lr': 0.1, 'model.layers': [64, 64]}, {'lr': 0.1, 'model': {'layers': [64, 64]}})
    """
    with Refusing("params of type {} could not be read", config):
        root = as_mapping(config)
        if root is None:
            raise InvalidValueError(
                f"an object of type {type_name(config)} has no named values: give a mapping, dataclass, model, namespace "
                "or estimator, or log_param(key, value)"
            )
        leaves = flatten(root, separator=".", max_keys=MAX_PARAMS, children=_children)
    flat: dict[str, ParamValue] = {}
    nested: JsonDict = {}
    for key, (path, value) in leaves.items():
        flat[key], stored = _leaf(value)
        _put(nested, path, stored)
    return flat, _without_surrogates(nested)


def _children(value: Any) -> Mapping[Any, Any] | None:
    try:
        mapping = as_mapping(value)
    except InvalidValueError:
        return None  # the value is a leaf, which is refused by its own name
    if mapping is not None and is_estimator(value):
        return {"class": type(value).__name__, **mapping}
    return mapping or None


def _leaf(value: object) -> tuple[ParamValue, ParamValue]:
    try:
        plain = to_plain(value, max_chars=MAX_TEXT_BYTES)
        return plain, json_int(plain)
    except InvalidValueError as error:
        return cast("ParamValue", value), f"<{error}>"


def _put(nested: JsonDict, path: Path, value: ParamValue) -> None:
    for name in path[:-1]:
        nested = nested.setdefault(name, {})
    nested[path[-1]] = value


def _without_surrogates(nested: JsonDict) -> JsonDict:
    """Escape what no UTF-8 can hold, in keys and texts."""
    text = json.dumps(nested, ensure_ascii=False)
    if not _SURROGATE.search(text):
        return nested
    escaped = _SURROGATE.sub(lambda match: f"\\\\u{ord(match[0]):04x}", text)
    return cast("JsonDict", json.loads(escaped))


def encode_param(value: object) -> EncodedParam:
    """Encode a value as typed text.

    Parameters
    ----------
    value : object
        See `mlops_sdk.values.plain.to_plain` for what becomes what. A float is its shortest text that reads back bit for
        bit; ``-0.0``, ``inf`` and ``nan`` included (the payload of a NaN is not kept).

    Returns
    -------
    EncodedParam
        The same for equal values in every process. A str that no UTF-8 text column can hold (NUL, lone surrogates) has
        kind ``json``, and reads back exactly.

    Raises
    ------
    InvalidValueError
        If the text would be longer than 64 KiB, or if the value cannot be read.

    Examples
    --------
    >>> encode_param(0.1)
    EncodedParam(kind='float', text='0.1', number=0.1)
    >>> encode_param([1, None, "a"])
    EncodedParam(kind='json', text='[1, null, "a"]', number=None)
    """
    plain = to_plain(value, max_chars=MAX_TEXT_BYTES)
    if plain is None:
        return EncodedParam("none", "None", None)
    if isinstance(plain, bool):
        return EncodedParam("bool", str(plain), float(plain))
    if isinstance(plain, int):
        return EncodedParam("int", int_text(plain), _nearest(plain))
    if isinstance(plain, float):
        return EncodedParam("float", repr(plain), None if math.isnan(plain) else plain)
    if isinstance(plain, str) and "\0" not in plain and not _SURROGATE.search(plain):
        return EncodedParam("str", _bounded(plain), None)
    return EncodedParam("json", _bounded(_json(plain)), None)


def _nearest(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _json(plain: object) -> str:
    text = json.dumps(plain, ensure_ascii=False)
    return json.dumps(plain) if _SURROGATE.search(text) else text


def _bounded(text: str) -> str:
    n_bytes = len(text.encode())
    if n_bytes > MAX_TEXT_BYTES:
        raise InvalidValueError(
            f"its text has {n_bytes:,} bytes, a param has at most {MAX_TEXT_BYTES:,}: log it as an artifact instead, "
            "with log_dict(), log_table() or log_text()"
        )
    return text


def decode_param(kind: str, text: str) -> ParamValue:
    """Read what `encode_param` wrote.

    Parameters
    ----------
    kind, text : str

    Raises
    ------
    InvalidValueError
        If the text is not of that kind, or the kind is unknown.

    Examples
    --------
    >>> decode_param("json", '{"units": [64, 64]}')
    {'units': [64, 64]}
    """
    if kind == "str":
        return text
    if kind == "float":
        return _decode_float(text)
    if kind == "int":
        return int_from_text(text)
    if kind == "json":
        return _decode_json(text)
    if (kind, text) in _CONSTANTS:
        return _CONSTANTS[kind, text]
    raise InvalidValueError(f"{shown(text)} is not the text of a param of kind {shown(kind)}")


_CONSTANTS: dict[tuple[str, str], bool | None] = {
    ("none", "None"): None,
    ("bool", "True"): True,
    ("bool", "False"): False,
}


def _decode_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if repr(value) != text:  # 1e400 would become infinite, 0.1000000000000000055 another text
        raise InvalidValueError(f"{shown(text)} is not the text of a float64")
    return value


def _decode_json(text: str) -> ParamValue:
    try:
        return cast("ParamValue", json.loads(text, parse_int=int_from_text))
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"{shown(text)} is not JSON: {error}") from error


def same_param(a: EncodedParam, b: EncodedParam) -> bool:
    """Whether two params are the same value: no conflict.

    Parameters
    ----------
    a, b : EncodedParam

    Returns
    -------
    bool
        By kind and text, and numbers exactly by value: 1 and 1.0 are the same, 0.0 and -0.0 too, ``2**53`` and
        ``2**53 + 1`` are not; NaN equals NaN. A bool equals only a bool.
    """
    if (a.kind, a.text) == (b.kind, b.text):
        return True
    are_numbers = {a.kind, b.kind} <= {"int", "float"}
    return are_numbers and decode_param(a.kind, a.text) == decode_param(b.kind, b.text)


def check_key(key: str, what: str) -> str:
    """Check that a name can be stored, and return it.

    Parameters
    ----------
    key : str
        1 to 1,024 UTF-8 bytes of any script; control characters are kept, Unicode twins (NFC, NFD) are two names.
    what : str
        What it names, for the message: "param", "metric", "tag", ...

    Returns
    -------
    str
        The same text, as a plain str.

    Raises
    ------
    InvalidValueError
        If it is not text, empty, too long, or holds a NUL or a lone surrogate; the key is shown escaped.
    """
    if not isinstance(key, str):
        raise InvalidValueError(f"the name of a {what} is text, not {type_name(key)}")
    problem = _key_problem(key)
    if problem:
        raise InvalidValueError(f"{what} {shown(key)} {problem}", key=key)
    return str.__str__(key)


def _key_problem(key: str) -> str | None:
    if not key:
        return "needs a name of at least one character"
    if len(key) > MAX_KEY_BYTES:
        return f"has a name of {len(key):,} characters: at most {MAX_KEY_BYTES:,} bytes fit"
    if "\0" in key:
        return "has a NUL in its name: no store can keep it"
    if _SURROGATE.search(key):
        return "has a lone surrogate in its name: it is not Unicode text"
    n_bytes = len(key.encode())
    return None if n_bytes <= MAX_KEY_BYTES else f"has a name of {n_bytes:,} bytes: at most {MAX_KEY_BYTES:,} fit"
