"""Columns of texts and bytes: lengths and data, as Arrow lays them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.canonical import BYTES, MARKS, NULL, TEXT, Cells, Part, nothing
from mlops_sdk.fingerprint.mixing import hash_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops_sdk.fingerprint.canonical import Rules

LABEL_CHARACTERS = 64


class Texts:
    """A column of variable-size values.

    Parameters
    ----------
    starts, lengths : int64[n]
        Where each value lies in `data`.
    data : uint8[m]
    kind : {"text", "bytes", "nested"}
    type : str
    mask : bool[n], optional
    """

    def __init__(
        self, starts: NDArray[np.int64], lengths: NDArray[np.int64], data: NDArray[np.uint8], kind: str, type: str,  # noqa: A002 - the attribute of `Column`
        mask: NDArray[np.bool_] | None = None,
    ) -> None:  # fmt: skip
        self.starts, self.lengths, self.data = starts, lengths, data
        self.kind = kind
        self.mask = mask
        self.type = type

    def __len__(self) -> int:
        return len(self.starts)

    def cells(self, start: int, stop: int, rules: Rules) -> Cells:
        """See `Column`."""
        starts, lengths = self.starts[start:stop], self.lengths[start:stop]
        nulls = None if self.mask is None else nothing(self.mask[start:stop])
        if nulls is not None:
            lengths = np.where(nulls, 0, lengths)
        low, high = (int(starts.min()), int((starts + lengths).max())) if len(starts) else (0, 0)
        data, starts = self.data[low:high], starts - low
        if len(data) > 2 * int(lengths.sum()) + 4096:  # scattered: what lies between is not worth touching twice
            data = gather(starts, lengths, data)
            starts = np.cumsum(lengths) - lengths
        codes = hash_texts(starts, lengths, data, rules.seed) ^ np.uint64(MARKS[self.kind])
        kept_starts, kept_lengths = (starts, lengths) if nulls is None else (starts[~nulls], lengths[~nulls])
        if nulls is not None:
            codes[nulls] = NULL
        streams = (np.ascontiguousarray(kept_lengths), gather(kept_starts, kept_lengths, data))
        parts = [Part(self.kind, len(kept_lengths), streams)] if len(kept_lengths) else []
        return Cells(codes, nulls, parts, label=_Label(starts, lengths, data, self.kind))

    def python_values(self) -> list[Any]:
        """See `Column`."""
        gone = [False] * len(self) if self.mask is None else self.mask.tolist()
        spans = zip(self.starts.tolist(), self.lengths.tolist(), gone, strict=True)
        raw = [None if is_gone else self.data[start : start + n].tobytes() for start, n, is_gone in spans]
        return [value.decode() if value is not None and self.kind == TEXT else value for value in raw]


class _Label:
    """The text of a row, cut."""

    def __init__(self, starts: Any, lengths: Any, data: NDArray[np.uint8], kind: str) -> None:
        self.starts, self.lengths, self.data, self.kind = starts, lengths, data, kind

    def __call__(self, row: int) -> str:
        start = int(self.starts[row])
        raw = self.data[start : start + min(int(self.lengths[row]), 4 * LABEL_CHARACTERS)].tobytes()
        if self.kind == TEXT:
            return raw.decode("utf-8", "replace")[:LABEL_CHARACTERS]
        return raw[: LABEL_CHARACTERS // 2].hex()


def gather(starts: NDArray[np.int64], lengths: NDArray[np.int64], data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bytes of all values one after the other; `data` itself when they lie so."""
    total = int(lengths.sum())
    ends = starts + lengths
    if total == len(data) and (not len(starts) or (starts[0] == 0 and (starts[1:] == ends[:-1]).all())):
        return data
    if len(starts) and total > 256 * len(starts):  # few and large: copying beats indexing
        pieces = [data[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        return np.concatenate(pieces)
    before = np.cumsum(lengths) - lengths
    return data[np.repeat(starts - before, lengths) + np.arange(total)]


def of_strings(values: Sequence[str | None], *, mask: NDArray[np.bool_] | None = None, type: str = "text") -> Texts:  # noqa: A002 - the attribute of `Column`
    """A column of Python texts; where `mask` is set the value is passed over.

    Raises
    ------
    InvalidValueError
        If a text holds half of a surrogate pair, which no UTF-8 has.
    """
    given: Sequence[Any] = (
        values if mask is None else ["" if gone else value for value, gone in zip(values, mask.tolist(), strict=True)]
    )
    joined = "".join(given)
    if joined.isascii():
        data = joined.encode()
        lengths = np.fromiter(map(len, given), np.int64, len(given))
    else:
        try:
            encoded = [value.encode() for value in given]
        except UnicodeEncodeError as error:
            raise InvalidValueError(
                f"a text holds half of a surrogate pair, which UTF-8 cannot say: {error}"
            ) from error
        data = b"".join(encoded)
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    return Texts(np.cumsum(lengths) - lengths, lengths, np.frombuffer(data, np.uint8), TEXT, type, mask)


def of_bytes(
    values: Sequence[Any], *, kind: str = BYTES, mask: NDArray[np.bool_] | None = None, type: str = "bytes"  # noqa: A002 - the attribute of `Column`
) -> Texts:  # fmt: skip
    """A column of Python bytes."""
    given = (
        values if mask is None else [b"" if gone else value for value, gone in zip(values, mask.tolist(), strict=True)]
    )
    data = b"".join(given)
    lengths = np.fromiter(map(len, given), np.int64, len(given))
    return Texts(np.cumsum(lengths) - lengths, lengths, np.frombuffer(data, np.uint8), kind, type, mask)


class Coded:
    """A column of codes into a dictionary: a categorical.

    Parameters
    ----------
    codes : int64[n]
        Below 0 where missing.
    dictionary : Texts
    type : str
    """

    def __init__(self, codes: NDArray[np.int64], dictionary: Texts, type: str) -> None:  # noqa: A002 - the attribute of `Column`
        self._codes = codes
        self._dictionary = dictionary
        self.type = type

    def __len__(self) -> int:
        return len(self._codes)

    def cells(self, start: int, stop: int, rules: Rules) -> Cells:
        """See `Column`."""
        own = self._dictionary
        codes = self._codes[start:stop]
        nulls = nothing(codes < 0)
        if not len(own):
            starts, lengths = np.zeros(len(codes), np.int64), np.zeros(len(codes), np.int64)
        else:
            safe = codes if nulls is None else np.where(nulls, 0, codes)
            starts, lengths = own.starts[safe], own.lengths[safe]
            if own.mask is not None:
                nulls = nothing((codes < 0) | own.mask[safe])
        return Texts(starts, lengths, own.data, own.kind, self.type, nulls).cells(0, len(codes), rules)

    def python_values(self) -> list[Any]:
        """See `Column`."""
        values = self._dictionary.python_values()
        return [None if code < 0 else values[code] for code in self._codes.tolist()]
