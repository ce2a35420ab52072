"""64-bit mixing, vectorised: of cell codes, of rows, of texts.

References
----------
.. [1] D. Stafford, "Better bit mixing", variant 13 (the finaliser of splitmix64)
.. [2] ``docs/fingerprint-spec.md``, "Cell codes and row hashes"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

MASK = (1 << 64) - 1
LONG_TEXT_BYTES = 256
"""Texts longer than this are hashed by BLAKE3 one by one: rounds over eight bytes of every text would not pay."""

_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_LENGTH = np.uint64(0x9E3779B97F4A7C15)
_S27, _S30, _S31, _S32 = (np.uint64(shift) for shift in (27, 30, 31, 32))
_KEPT = np.array([(1 << 8 * n) - 1 for n in range(8)] + [MASK], dtype=np.uint64)


def mix(words: Words, out: Words | None = None, scratch: Words | None = None) -> Words:
    """A bijection of 64-bit words in which every bit of the result hangs on every bit of the word.

    Parameters
    ----------
    words, out, scratch : uint64[n]
        `out` may be `words`; `scratch` must be neither.
    """
    scratch = np.right_shift(words, _S30, out=scratch)
    out = np.bitwise_xor(words, scratch, out=out)
    np.multiply(out, _M1, out=out)
    np.right_shift(out, _S27, out=scratch)
    np.bitwise_xor(out, scratch, out=out)
    np.multiply(out, _M2, out=out)
    np.right_shift(out, _S31, out=scratch)
    return np.bitwise_xor(out, scratch, out=out)


def mix_one(word: int) -> int:
    """`mix` of one number."""
    word &= MASK
    word = (word ^ word >> 30) * int(_M1) & MASK
    word = (word ^ word >> 27) * int(_M2) & MASK
    return word ^ word >> 31


def hash_texts(starts: NDArray[np.int64], lengths: NDArray[np.int64], data: NDArray[np.uint8], seed: int = 0) -> Words:
    """One 64-bit hash a text.

    Parameters
    ----------
    starts, lengths : int64[n]
        Where each text lies in `data`, in bytes.
    data : uint8[m]
    seed : int
        Of a salted fingerprint.

    Returns
    -------
    uint64[n]
    """
    hashes: Words = lengths.astype(np.uint64) * _LENGTH
    if seed:
        hashes ^= np.uint64(seed)
    n_words = (lengths + 7) >> 3
    n_rounds = int(n_words.max(initial=0))
    is_long = None
    if n_rounds * 8 > LONG_TEXT_BYTES:
        is_long = lengths > LONG_TEXT_BYTES
        n_words = np.where(is_long, 0, n_words)
        n_rounds = int(n_words.max(initial=0))
    _absorb(hashes, starts, lengths, n_words, n_rounds, _padded(data))
    if is_long is not None:
        _hash_long(hashes, np.flatnonzero(is_long), starts, lengths, data, seed)
    return hashes


def _absorb(hashes: Words, starts: Any, lengths: Any, n_words: Any, n_rounds: int, words: Words) -> None:
    """Eight bytes of every text that still has some, round by round."""
    for turn in range(n_rounds):
        active = slice(None) if turn == 0 and n_words.all() else np.flatnonzero(n_words > turn)
        word = words[starts[active] + 8 * turn]
        word &= _KEPT[np.minimum(lengths[active] - 8 * turn, 8)]
        word ^= hashes[active]
        word *= _M1
        word ^= word >> _S32
        hashes[active] = word


def _padded(data: NDArray[np.uint8]) -> Words:
    """Eight bytes from every position, as little-endian words that overlap."""
    padded = np.zeros(len(data) + 8, dtype=np.uint8)
    padded[: len(data)] = data
    return np.ndarray((len(data) + 1,), dtype="<u8", buffer=padded, strides=(1,))


def _hash_long(hashes: Words, rows: Any, starts: Any, lengths: Any, data: NDArray[np.uint8], seed: int) -> None:
    from blake3 import blake3

    key = seed.to_bytes(8, "little")
    for row in rows.tolist():
        start = int(starts[row])
        digest = blake3(key).update(data[start : start + int(lengths[row])].data).digest(8)
        hashes[row] = int.from_bytes(digest, "little")
