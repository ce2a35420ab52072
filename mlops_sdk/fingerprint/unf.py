"""UNF version 6, the citation fingerprint of Dataverse.

References
----------
.. [1] M. Altman, "A fingerprint method for scientific data verification", 2008
.. [2] IQSS/dataverse, ``doc/sphinx-guides/source/developers/unf/unf-v6.rst``
.. [3] IQSS/UNF, ``doc/unf_examples.txt``
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import math
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint import making, tables
from mlops_sdk.fingerprint.canonical import Chunk
from mlops_sdk.fingerprint.nested import is_missing
from mlops_sdk.values.foreign import comes_from

if TYPE_CHECKING:
    from mlops_sdk.fingerprint.fingerprint import Fingerprint

HEADER = "UNF:6:"
DIGITS = 7
CHARACTERS = 128
_MISSING = b"\0\0\0"
_END = b"\n\0"


def number_text(value: float) -> str:
    """A number as ``+d.ddde+x``: seven significant digits, half to even, no trailing zeros, no exponent of 0."""
    if value != value:
        return "+nan"
    if math.isinf(value):
        return "+inf" if value > 0 else "-inf"
    mantissa, exponent = f"{value:+.{DIGITS - 1}e}".split("e")
    if float(mantissa) == 0:
        return f"{mantissa[0]}0.e+"
    power = int(exponent)
    return f"{mantissa.rstrip('0')}e{'-' if power < 0 else '+'}{abs(power) or ''}"


def time_text(value: dt.date) -> str:
    """A date or time in the form of ISO 8601 that UNF has; in UTC, with a Z, where the zone is known."""
    if not isinstance(value, dt.datetime):
        return value.isoformat()
    zone = "" if value.tzinfo is None else "Z"
    if value.tzinfo is not None:
        value = value.astimezone(dt.UTC)
    fraction = f".{value.microsecond:06}".rstrip("0") if value.microsecond else ""
    return value.strftime("%Y-%m-%dT%H:%M:%S") + fraction + zone


def _bytes_of(value: Any) -> bytes:
    if is_missing(value):
        return _MISSING
    if isinstance(value, str):
        return value[:CHARACTERS].encode("utf-8", "surrogatepass") + _END
    if isinstance(value, dt.date):
        return time_text(value).encode() + _END
    if isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating)) or hasattr(value, "as_tuple"):
        return number_text(float(value)).encode() + _END
    if isinstance(value, np.datetime64):
        return _MISSING if np.isnat(value) else time_text(value.astype("datetime64[us]").item()).encode() + _END
    raise InvalidValueError(
        f"UNF version 6 has no rule for a {type(value).__name__}: numbers, texts, dates and times only"
    )


def bare_unf(values: Iterable[Any]) -> str:
    """Base64 of the first 128 bits of a vector's SHA-256, without the header."""
    hasher = hashlib.sha256()
    for value in values:
        hasher.update(_bytes_of(value))
    return base64.b64encode(hasher.digest()[:16]).decode()


def combined(bare: Sequence[str]) -> str:
    """Of several: sorted, hashed as texts; of one, that one.

    Notes
    -----
    The specification says "printable UNFs"; the Java and R implementations hash them without the header, and so do we.
    """
    return bare[0] if len(bare) == 1 else bare_unf(sorted(bare))


def of_columns(columns: Sequence[Iterable[Any]]) -> str:
    """``UNF:6:...`` of columns of values."""
    return HEADER + combined([bare_unf(column) for column in columns])


def computed(made: Fingerprint, data: Any, target: Any = None, *, index: bool = False) -> Fingerprint:
    """The same fingerprint with its UNF.

    Raises
    ------
    InvalidValueError
        If the data is no table in memory, or holds values UNF has no rule for.
    """
    if made.parts:
        parts = data.values() if hasattr(data, "values") else data
        bare = [
            computed(made.parts[name], part).unf.removeprefix(HEADER)
            for name, part in zip(made.parts, parts, strict=True)
        ]
        return replace(made, unf_text=HEADER + combined(bare))
    chunks = list(_chunks(data, target, index))
    names = chunks[0].names if chunks else ()
    columns = [[value for chunk in chunks for value in _values(chunk.columns[place])] for place in range(len(names))]
    if not columns:
        raise InvalidValueError("a table without columns has no UNF")
    return replace(made, unf_text=of_columns(columns))


def _chunks(data: Any, target: Any, index: bool) -> Iterable[Chunk]:
    if isinstance(data, (str, bytes)) or hasattr(data, "__fspath__"):
        from mlops_sdk.fingerprint.finding import chunks_again

        return chunks_again(data, target)
    if comes_from(data, "sklearn.utils", "Bunch"):
        data, target = making.of_bunch(data, target)
    chunks = tables.table_chunks(data, index=index)
    if chunks is None:
        raise InvalidValueError("UNF is of a table in memory, or of a file: give it that")
    named, column = making.target_of(target)
    return chunks if column is None else making.with_target(chunks, named, column)


def _values(column: Any) -> list[Any]:
    """Python values of a column, as UNF knows them."""
    return list(column.python_values())


def of_source(made: Fingerprint) -> str:
    """See `Fingerprint.unf`."""
    if made.unf_text is not None:
        return made.unf_text
    reference, target, index = made.source or (lambda: None, None, False)
    data = reference()
    target = target() if isinstance(target, weakref.ref) else target
    if data is None or (made.target is not None and target is None):
        raise InvalidValueError(
            "the data is gone, and its UNF was not computed: fingerprint(data, unf=True) does it at once"
        )
    again = making.fingerprint(
        data, target=target, index=index, rows=False, profile=False, nan_is_null=made.nan_is_null, salt=made.salt
    )
    if again.digest != made.digest:
        raise InvalidValueError(
            "the data was changed since: fingerprint(data, unf=True) computes the UNF with the fingerprint"
        )
    text = computed(made, data, target, index=index).unf_text
    assert text is not None
    object.__setattr__(made, "unf_text", text)
    return text
