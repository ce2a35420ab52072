"""Any object as plain data: None, bool, int, float, str, and lists and dicts of these."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, MappingView, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from enum import Enum
from itertools import accumulate, islice
from operator import mul
from typing import TYPE_CHECKING, Any, cast

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.values.describing import Refusing, text_of, type_name
from mlops_sdk.values.expanding import as_mapping, estimator_text, is_estimator, unwrap
from mlops_sdk.values.foreign import array_shape, comes_from
from mlops_sdk.values.nested import MAX_DEPTH, named_items

if TYPE_CHECKING:
    from mlops_sdk._types import ParamValue

MAX_TEXT_BYTES = 64 * 1024
"""Longest text of a param, in UTF-8 bytes."""

_MAX_INT_DIGITS = MAX_TEXT_BYTES - 1  # and a sign
_MAX_INT_BITS = math.ceil(_MAX_INT_DIGITS * math.log2(10))
# 10**640 has more: the shortest limit on the digits of an int that Python can be set to
_MAX_JSON_INT_BITS = 2126
_CHUNK_DIGITS = 600
_TEXT_LIKE = (str, bytes, bytearray, memoryview, range)


def to_plain(value: Any, *, max_chars: int) -> ParamValue:
    """Convert an object to plain data by the rules that hold for params, configs and JSON artifacts.

    Parameters
    ----------
    value : object
        numpy scalars, 0-d arrays and tensors become Python numbers, exactly; arrays, tensors, series, sequences and sets
        (sorted) become lists; mappings, and what `as_mapping` reads, dicts; an Enum its value if that is plain, else
        its name; an estimator, and every other object, text.
    max_chars : int
        Roughly the longest JSON text that may come of it.

    Raises
    ------
    InvalidValueError
        If it contains itself, nests deeper than `MAX_DEPTH`, is too large, has two keys of the same text, or if its
        own code raises.

    Notes
    -----
    Time and memory are bounded by `max_chars`, but for code of the user's own objects. The result shares nothing with
    `value`. Inside lists and dicts an int of more than 640 digits becomes its decimal text: no JSON reader of Python
    takes it otherwise.
    """
    if value is None or type(value) in (bool, int, float):
        return value  # type: ignore[no-any-return]
    with Refusing("a value of type {} could not be read", value):
        return _Conversion(max_chars).convert(value)


class _Conversion:
    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars
        self._left = max_chars
        self._above: set[int] = set()

    def convert(self, value: Any) -> ParamValue:
        """Convert one value, and what it holds."""
        if value is None or type(value) in (bool, int, float):
            return value  # type: ignore[no-any-return]
        if isinstance(value, str):
            self._spend(len(value))
            return str.__str__(value)
        value = unwrap(value)
        if isinstance(value, Enum):
            return _enum(value)
        if isinstance(value, (int, float)):
            return _builtin_number(value)
        shape = array_shape(value)
        return self._structure(value) if shape is None else self._array(value, shape)

    def _structure(self, value: Any) -> ParamValue:
        if is_estimator(value):
            return estimator_text(value)
        mapping = as_mapping(value)
        if mapping is not None:
            with self._inside(value):
                items = named_items(mapping, self._left)
                return {self._key(name): self._element(item) for name, item in items.items()}
        if isinstance(value, (Sequence, AbstractSet, MappingView)) and not isinstance(value, _TEXT_LIKE):
            is_ordered = isinstance(value, (Sequence, MappingView))
            found = self._list(value, cast("Iterable[Any]", value))
            return found if is_ordered else _sorted(found)
        return self._text(value)

    def _list(self, owner: object, items: Iterable[Any]) -> list[Any]:
        with self._inside(owner):
            taken = list(islice(items, self._left + 1))
            self._spend(len(taken))
            return [self._element(item) for item in taken]

    def _element(self, item: Any) -> ParamValue:
        self._spend(1)
        return json_int(self.convert(item))

    def _key(self, name: str) -> str:
        self._spend(len(name))
        return name

    def _array(self, value: Any, shape: tuple[int, ...]) -> ParamValue:
        kind = getattr(value.dtype, "kind", "")
        if not shape:
            return self._text(value) if kind in ("m", "M") else self._scalar(value)
        self._spend(max(accumulate(shape, mul)))  # a shape (10**9, 0) holds no value, and 10**9 lists
        if kind in ("m", "M") and comes_from(value, "numpy", "ndarray"):
            value = value.astype(str)
        return self._list(value, value.tolist() if hasattr(value, "tolist") else value.to_list())

    def _scalar(self, value: Any) -> ParamValue:
        item = value.item()
        if type(item) is not type(value):
            return self.convert(item)
        number = float(item)  # a long double has no Python type
        return number if number == item or number != number else self._text(item)

    def _text(self, value: object) -> str:
        if isinstance(value, (bytes, bytearray, memoryview)):
            self._spend(memoryview(value).nbytes)
        text = text_of(value)
        self._spend(len(text))
        return text

    def _spend(self, n_chars: int) -> None:
        self._left -= n_chars
        if self._left < 0:
            raise InvalidValueError(
                f"its text has more than {self._max_chars:,} characters: log it as an artifact instead, "
                "with log_dict(), log_table() or log_text()"
            )

    @contextmanager
    def _inside(self, owner: object) -> Iterator[None]:
        if id(owner) in self._above:
            raise InvalidValueError(f"a value of type {type_name(owner)} contains itself")
        if len(self._above) >= MAX_DEPTH:
            raise InvalidValueError(f"values nest deeper than {MAX_DEPTH} levels")
        self._above.add(id(owner))
        try:
            yield
        finally:
            self._above.discard(id(owner))


def _enum(value: Enum) -> ParamValue:
    inner = value.value
    if isinstance(inner, (bool, int, float)):
        return _builtin_number(inner)
    if isinstance(inner, str):
        return str.__str__(inner)
    return value.name if inner is not None else None


def _builtin_number(value: float) -> bool | int | float:
    """Strip a subclass (IntEnum, numpy.float64), bit for bit, whatever it overrides."""
    if isinstance(value, bool):
        return value
    return int.__index__(value) if isinstance(value, int) else float.__float__(value)


def _sorted(items: list[Any]) -> list[Any]:
    """Bring the elements of a set into an order that does not depend on their hashes."""
    kinds = {type(item) for item in items}
    if kinds <= {str} or (kinds <= {bool, int, float} and not any(item != item for item in items)):
        return sorted(items)
    return sorted(items, key=json.dumps)


def json_int(value: ParamValue) -> ParamValue:
    """Replace an int that JSON readers refuse by its decimal text."""
    return int_text(value) if type(value) is int and value.bit_length() > _MAX_JSON_INT_BITS else value


def named_floats(plain: Any) -> Any:
    """Replace the floats that JSON lacks by their names."""
    if isinstance(plain, float) and not math.isfinite(plain):
        return "NaN" if math.isnan(plain) else "Infinity" if plain > 0 else "-Infinity"
    if isinstance(plain, list):
        return [named_floats(item) for item in plain]
    if isinstance(plain, dict):
        return {key: named_floats(item) for key, item in plain.items()}
    return plain


def int_text(value: int) -> str:
    """Write an int in decimal digits, exactly, whatever `sys.set_int_max_str_digits` says.

    Raises
    ------
    InvalidValueError
        If it has so many digits that the text would have more than `MAX_TEXT_BYTES`.
    """
    if value.bit_length() <= _MAX_JSON_INT_BITS:
        return str(value)
    digits = _digits(abs(value)) if value.bit_length() <= _MAX_INT_BITS else None
    if digits is None or len(digits) > _MAX_INT_DIGITS:
        raise InvalidValueError(
            f"an int of more than {_MAX_INT_DIGITS:,} digits: log it as an artifact, with log_text()"
        )
    return digits if value > 0 else "-" + digits


def _digits(value: int) -> str:
    chunks = []
    while value:
        value, chunk = divmod(value, 10**_CHUNK_DIGITS)
        chunks.append(f"{chunk:0{_CHUNK_DIGITS}d}")
    return "".join(reversed(chunks)).lstrip("0")


def int_from_text(text: str) -> int:
    """Read what `int_text` wrote.

    Raises
    ------
    InvalidValueError
        If it is anything but an optional minus and at most as many ASCII digits as `int_text` writes.
    """
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _MAX_INT_DIGITS):
        raise InvalidValueError(f"{text[:80]!r} is not an int")
    value, start = 0, len(digits) % _CHUNK_DIGITS
    for end in range(start, len(digits) + 1, _CHUNK_DIGITS):
        chunk = digits[max(0, end - _CHUNK_DIGITS) : end]
        value = value * 10 ** len(chunk) + int(chunk or "0")
    return -value if text.startswith("-") else value
