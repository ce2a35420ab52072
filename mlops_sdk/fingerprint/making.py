"""Fingerprints of whatever data is given.

References
----------
.. [1] ``docs/fingerprint-spec.md``
.. [2] ``docs/guides/datasets.md``
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint import frames, labelled, tables
from mlops_sdk.fingerprint.canonical import Chunk, Rules
from mlops_sdk.fingerprint.digest import Hashing
from mlops_sdk.fingerprint.fingerprint import Fingerprint
from mlops_sdk.fingerprint.lookup import cells_for
from mlops_sdk.fingerprint.streaming import Fingerprinter, Options
from mlops_sdk.values.foreign import comes_from

MAX_DEPTH = 16


def fingerprint(
    data: Any, *, target: Any = None, name: str | None = None, index: bool = False, nan_is_null: bool = True,
    salt: str | bytes | None = None, secure: bool = False, rows: bool = True, sketches: bool = True, profile: bool = True,
    unf: bool = False, capacity: int = 50, cache: bool = True, progress: bool | None = None, keep_rows: bool = False,
) -> Fingerprint:  # fmt: skip
    """Identity of all of a data set: every name, value, null and the order of rows count.

    Parameters
    ----------
    data : array, frame, sparse matrix, list of dicts, dict of columns, path, iterable of chunks, or a dict or tuple of these
        The same table has the same fingerprint, whatever it is kept in.
    target : str or array of shape (n,), optional
        Name of the target column, or the column itself, which then becomes the last one (named ``target`` if it has no
        name of its own).
    name : str, optional
    index : bool
        A pandas index counts as columns before the others.
    nan_is_null : bool
        NaN and missing are one (pandas cannot always tell them apart).
    salt : str or bytes, optional
        Of values that could be guessed from their hashes: without the salt nobody can try. Not stored.
    secure : bool
        Make `content_digest` hold against somebody who looks for a collision; about 4 us a row. (`digest` always does.)
    rows, sketches, profile : bool
        Leave out what is not needed: row hashes (and all that follows), the sketches of `diff` and `overlap`, the profile.
    unf : bool
        Compute the UNF now, about 1 us a value.
    capacity : int
        Replaced rows that `diff` can name, up to 32,768; the stored size is about 100 bytes for each.
    cache : bool
        Of a file: take the fingerprint of the last time if path, size, modification time and inode are the same.
    progress : bool, optional
        Show a bar on standard error; default: on a terminal, for data that takes more than a second or two.
    keep_rows : bool
        Keep the row hashes in memory (up to 64 MiB): `overlap` then counts instead of estimating, in this process.

    Returns
    -------
    Fingerprint

    Raises
    ------
    InvalidValueError
        If something in it has no canonical form: names the type, and the way out. Nothing is ever hashed in part.
    MissingDependencyError
        If a file needs a package that is not installed.

    Notes
    -----
    Reads the data once. Memory is bounded for files, memory-mapped arrays and iterables of chunks. Random states of loaders
    are put back. Data that another thread changes meanwhile has no one identity.

    Examples
    --------
    >>> import mlops_sdk
    >>> a = mlops_sdk.fingerprint([{"id": 1, "x": 0.5}, {"id": 2, "x": None}])
    >>> b = mlops_sdk.fingerprint({"id": [1, 2], "x": [0.5, None]})
    >>> a.digest == b.digest, a.n_rows
    (True, 2)
    """
    key = salt.encode() if isinstance(salt, str) else salt
    seed = Hashing(key).words("seed")[0] if key else 0
    options = Options(
        rules=Rules(bool(nan_is_null), seed), salt=key or None, rows=rows or secure, sketches=sketches and rows, profile=profile,
        secure=secure, n_cells=cells_for(capacity), keep_rows=keep_rows,
    )  # fmt: skip
    made = _Making(options, index=index, cache=cache, progress=progress).of(data, target, 0)
    made = replace(made, name=name if name is not None else made.name, source=_source(data, target, index))
    if unf:
        from mlops_sdk.fingerprint.unf import computed

        made = computed(made, data, target, index=index)
    return made


def _source(data: Any, target: Any, index: bool) -> Any:
    """A way back to the data, while somebody else keeps it."""
    try:
        held = target if target is None or isinstance(target, str) else weakref.ref(target)
        return weakref.ref(data), held, index
    except TypeError:
        return None


class _Making:
    """One call's settings, on the way down into collections."""

    def __init__(self, options: Options, *, index: bool, cache: bool, progress: bool | None) -> None:
        self._options = options
        self._index = index
        self._cache = cache
        self._progress = progress

    def of(self, data: Any, target: Any, depth: int) -> Fingerprint:
        """The fingerprint of a table or a collection."""
        if depth > MAX_DEPTH:
            raise InvalidValueError(f"data nested deeper than {MAX_DEPTH} levels: does it contain itself?")
        if isinstance(data, Fingerprint):
            raise InvalidValueError("this is a fingerprint already: give the data")
        if isinstance(data, (str, os.PathLike)):
            from mlops_sdk.fingerprint.files import of_path

            return of_path(data, self._options, target=target, cache=self._cache, progress=self._progress)
        if comes_from(data, "sklearn.utils", "Bunch"):
            data, target = of_bunch(data, target)
        if comes_from(data, "xarray", "DataArray", "Dataset"):
            _refuse_target(target)
            parts = {name: self._table(chunks, None) for name, chunks in labelled.chunks_by_variable(data).items()}
            return collection(parts, Hashing(self._options.salt), self._options)
        chunks = tables.table_chunks(data, index=self._index)
        if chunks is not None:
            return self._table(chunks, target)
        return self._other(data, target, depth)

    def _table(self, chunks: Iterator[Chunk], target: Any) -> Fingerprint:
        named, column = target_of(target)
        if column is not None:
            chunks = with_target(chunks, named, column)
        made = Fingerprinter(self._options).update(chunks).fingerprint()
        return replace(made, target=checked_target(made, named))

    def _other(self, data: Any, target: Any, depth: int) -> Fingerprint:
        if isinstance(data, (tuple, list)):
            data = {str(place): part for place, part in enumerate(data)}
        if isinstance(data, Mapping):
            _refuse_target(target)
            if not data:
                raise tables.refuse(data)
            parts = {frames.name_of(name): self.of(part, None, depth + 1) for name, part in data.items()}
            return collection(parts, Hashing(self._options.salt), self._options)
        if _is_map_style(data):
            with kept_random_state(data):
                return self._stream(_rows_of_items(data[place] for place in range(len(data))), target)
        if isinstance(data, Iterable) and not isinstance(data, (bytes, bytearray, memoryview, set, frozenset)):
            with kept_random_state(data):
                return self._stream(tables.batches(data), target)
        raise tables.refuse(data)

    def _stream(self, batches: Iterable[Any], target: Any) -> Fingerprint:
        named, column = target_of(target)
        if column is not None:
            raise InvalidValueError(
                "target= of an iterable of chunks is the name of a column: put the values into the chunks"
            )
        fingerprinter = Fingerprinter(self._options)
        for batch in batches:
            fingerprinter.update(tables.chunks_of_batch(batch))
        made = fingerprinter.fingerprint()
        return replace(made, target=checked_target(made, named))


def _refuse_target(target: Any) -> None:
    if target is not None:
        raise InvalidValueError("target= goes with one table, this is a collection: put it into the table")


class Stream:
    """Fingerprints batches as they come by.

    Parameters
    ----------
    target : str, optional
        Name of the target column.
    """

    def __init__(self, target: str | None = None) -> None:
        self._fingerprinter = Fingerprinter(Options(keep_rows=True))
        self._target = target

    def add(self, batch: Any) -> None:
        """Append a batch, or a row (a dict)."""
        self._fingerprinter.update(tables.chunks_of_batch([batch] if tables.is_row(batch) else batch))

    def fingerprint(self) -> Fingerprint:
        """Of what came so far."""
        made = self._fingerprinter.fingerprint()
        return replace(made, target=checked_target(made, self._target))


def of_bunch(data: Any, target: Any) -> tuple[Any, Any]:
    """The table of a sklearn Bunch, and its target."""
    table = data.get("frame") if data.get("frame") is not None else data.get("data")
    if table is None:
        return dict(data), target
    if data.get("frame") is not None or target is not None:
        return table, target
    names = data.get("feature_names")
    if isinstance(table, np.ndarray) and table.ndim == 2 and names is not None and len(names) == table.shape[1]:
        table = {str(name): table[:, place] for place, name in enumerate(names)}
    return table, data.get("target")


def target_of(target: Any) -> tuple[str | None, Any]:
    """Name of the target, and the column where it was given as one."""
    if target is None or isinstance(target, str):
        return target, None
    name = getattr(target, "name", None)
    return ("target" if name is None else frames.name_of(name)), target


def with_target(chunks: Iterator[Chunk], name: str | None, target: Any) -> Iterator[Chunk]:
    """The same table with one more column.

    Raises
    ------
    InvalidValueError
        If it has another number of rows.
    """
    found = tables.table_chunks(target)
    columns = None if found is None else [column for chunk in found for column in chunk.columns]
    if columns is None or len(columns) != 1:
        raise InvalidValueError("target= is a column's name, or one column of values")
    own, start = columns[0], 0
    for chunk in chunks:
        assert name is not None
        used = set(chunk.names)
        label = name if name not in used else f"target.{name}"
        part = own if chunk.n_rows == len(own) else _Slice(own, start, chunk.n_rows)
        start += chunk.n_rows
        if start > len(own):
            break
        yield Chunk((*chunk.names, label), [*chunk.columns, part], chunk.n_rows)
    if start != len(own):
        raise InvalidValueError(f"the data has {start:,} rows or more, the target {len(own):,}")


class _Slice:
    """Some rows of a column."""

    def __init__(self, column: Any, start: int, n: int) -> None:
        self._column, self._start, self._n = column, start, n
        self.type = column.type

    def __len__(self) -> int:
        return self._n

    def cells(self, start: int, stop: int, rules: Rules) -> Any:
        """See `Column`."""
        return self._column.cells(self._start + start, self._start + stop, rules)

    def python_values(self) -> list[Any]:
        """See `Column`."""
        return list(self._column.python_values())[self._start : self._start + self._n]


def checked_target(made: Fingerprint, name: str | None) -> str | None:
    """The target's label among the columns.

    Raises
    ------
    InvalidValueError
        If there is none of that name.
    """
    if name is None or not made.fields:
        return name
    known = made.columns
    found = name if name in known and f"target.{name}" not in known else f"target.{name}"
    if found not in known:
        raise InvalidValueError(f"target={name!r} names no column; there are {', '.join(list(known)[:12])}")
    return found


def collection(
    parts: Mapping[str, Fingerprint], hashing: Hashing, options: Options, files: Mapping[str, str] | None = None
) -> Fingerprint:
    """The fingerprint of several: of their names and digests, in order; the content digest in any order."""

    def root(purpose: str, of: Callable[[Fingerprint], str | None], names: Iterable[str]) -> str:
        pieces = [
            piece
            for name in names
            for piece in (name.encode("utf-8", "surrogatepass"), (of(parts[name]) or "").encode())
        ]
        pieces += [piece.encode("utf-8", "surrogateescape") for pair in sorted((files or {}).items()) for piece in pair]
        return hashing.tagged(purpose, *pieces).hex()

    ordered = sorted(parts)
    return Fingerprint(
        digest=root("collection", lambda part: part.digest, parts),
        content_digest=root("collection content", lambda part: part.content_digest, ordered) if options.rows else None,
        schema_digest=root("collection schema", lambda part: part.schema_digest, ordered),
        n_rows=sum(part.n_rows for part in parts.values()), parts=dict(parts), files=dict(files or {}), salt=options.salt,
        salt_id=next((part.salt_id for part in parts.values()), ""), nan_is_null=options.rules.nan_is_null,
    )  # fmt: skip


def _is_map_style(data: Any) -> bool:
    """A data set of PyTorch's kind: items by number, and a length."""
    kind = type(data)
    has_all = hasattr(kind, "__getitem__") and hasattr(kind, "__len__")
    return has_all and not hasattr(kind, "__iter__") and not isinstance(data, (str, bytes))


def _rows_of_items(items: Iterator[Any]) -> Iterator[Any]:
    """Items of a data set, in batches of dicts; an item that is a tuple has its places for names."""
    batch: list[dict[str, Any]] = []
    for item in items:
        batch.append(row_of_item(item))
        if len(batch) == 4096:
            yield batch
            batch = []
    if batch:
        yield batch


def row_of_item(item: Any) -> dict[str, Any]:
    """One item as a row."""
    if not isinstance(item, Mapping):
        item = dict(enumerate(item)) if isinstance(item, (tuple, list)) else {0: item}
    return {frames.name_of(name): _plain(value) for name, value in item.items()}


def _plain(value: Any) -> Any:
    if comes_from(value, "torch", "Tensor"):
        value = value.detach().cpu().numpy()
    return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


class kept_random_state:  # noqa: N801 - reads as a function
    """Puts the random states of Python, numpy and torch back: looking at a loader must not change the training.

    Parameters
    ----------
    loader : object
        Generators of its own, and of its sampler, are put back too.
    """

    def __init__(self, loader: Any) -> None:
        owners = (loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None))
        found: list[Any] = [getattr(owner, "generator", None) for owner in owners]
        self._generators = [each for each in found if hasattr(each, "get_state") and hasattr(each, "set_state")]

    def __enter__(self) -> None:
        import random
        import sys

        self._python = random.getstate()
        self._numpy = np.random.get_state()  # noqa: NPY002 - the legacy state is what is kept
        self._own = [each.get_state() for each in self._generators]
        self._torch = sys.modules.get("torch")
        self._state = self._torch.get_rng_state() if self._torch is not None else None

    def __exit__(self, *_: object) -> None:
        import random

        for generator, state in zip(self._generators, self._own, strict=True):
            generator.set_state(state)
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002 - as above
        if self._torch is not None:
            self._torch.set_rng_state(self._state)
