"""Fingerprints of files and directories: of the bytes, and of the table where there is one.

References
----------
.. [1] ``docs/fingerprint-spec.md``, "Files"
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mlops_sdk.errors import InvalidValueError, MissingDependencyError
from mlops_sdk.fingerprint import arrow, frames, making, tables
from mlops_sdk.fingerprint.cache import Cached
from mlops_sdk.fingerprint.canonical import BLOCK_ROWS, Chunk
from mlops_sdk.fingerprint.delimited import chunks_of_delimited
from mlops_sdk.fingerprint.digest import Hashing
from mlops_sdk.fingerprint.fingerprint import Fingerprint
from mlops_sdk.fingerprint.progress import shown
from mlops_sdk.fingerprint.streaming import Fingerprinter, Options

_BATCH_ROWS = 4 * BLOCK_ROWS
_READ_BYTES = 1 << 20
MAX_FILES = 100_000


def of_path(path: Any, options: Options, *, target: Any, cache: bool, progress: bool | None) -> Fingerprint:
    """The fingerprint of a file, or of a directory with all that is in it.

    Raises
    ------
    InvalidValueError
        If there is no such file, or it is neither a regular file nor a directory, or cannot be read.
    MissingDependencyError
        If its format needs a package that is not installed.
    """
    place = Path(path)
    try:
        mode = place.stat().st_mode
    except (OSError, ValueError) as error:
        raise InvalidValueError(f"no file to fingerprint at {os.fspath(path)!r}: {error}") from error
    if stat.S_ISDIR(mode):
        if target is not None:
            raise InvalidValueError("target= goes with one table, this is a directory")
        return _of_directory(place, options, cache=cache, progress=progress)
    if not stat.S_ISREG(mode):
        raise InvalidValueError(f"{os.fspath(path)!r} is neither a regular file nor a directory")
    return _of_file(place, options, target=target, cache=cache, progress=progress)


def _of_file(path: Path, options: Options, *, target: Any, cache: bool, progress: bool | None) -> Fingerprint:
    cached = Cached(path, options, target) if cache and (target is None or isinstance(target, str)) else None
    known = cached.find() if cached is not None else None
    if known is not None:
        return replace(known, salt=options.salt)
    hashing = Hashing(options.salt)
    digest = _digest_of_bytes(path, hashing)
    chunks = table_of_file(path)
    if chunks is None:
        made = Fingerprint(
            digest=hashing.tagged("file", digest).hex(), content_digest=hashing.tagged("file", digest).hex(),
            schema_digest=Hashing().tagged("file schema").hex(), n_rows=0, salt=options.salt,
            nan_is_null=options.rules.nan_is_null,
        )  # fmt: skip
    else:
        named, column = making.target_of(target)
        fingerprinter = Fingerprinter(options)
        with shown(path.name, path.stat().st_size, progress) as fingerprinter.progress:
            fingerprinter.update(chunks if column is None else making.with_target(chunks, named, column))
        made = fingerprinter.fingerprint()
        made = replace(made, target=making.checked_target(made, named))
    made = replace(made, files={path.name: digest.hex()}, name=path.name)
    if cached is not None:
        cached.keep(made)
    return made


def _digest_of_bytes(path: Path, hashing: Hashing) -> bytes:
    hasher = hashing.new()
    buffer = bytearray(_READ_BYTES)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while n := file.readinto(buffer):
            hasher.update(view[:n])
    return hasher.digest()


def _of_directory(root: Path, options: Options, *, cache: bool, progress: bool | None) -> Fingerprint:
    files: dict[str, str] = {}
    parts: dict[str, Fingerprint] = {}
    for path in _walk(root):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            files[name] = f"link:{os.readlink(path)}"
            continue
        made = _of_file(path, options, target=None, cache=cache, progress=progress)
        files[name] = made.files[path.name]
        if made.fields:
            parts[name] = replace(made, name=name)
    made = making.collection(parts, Hashing(options.salt), options, files)
    return replace(made, name=root.resolve().name)


def _walk(root: Path) -> Iterator[Path]:
    """Every file and link below a directory, in order of names; links are not followed."""
    found = 0
    for directory, names, files in os.walk(root, onerror=_refuse, followlinks=False):
        links = [name for name in names if Path(directory, name).is_symlink()]
        names[:] = sorted(set(names) - set(links))
        for name in sorted([*files, *links]):
            path = Path(directory, name)
            if not path.is_symlink() and not stat.S_ISREG(path.stat().st_mode):
                raise InvalidValueError(f"{str(path)!r} is no regular file: a directory with it has no fingerprint")
            found += 1
            if found > MAX_FILES:
                raise InvalidValueError(f"{str(root)!r} holds more than {MAX_FILES:,} files: fingerprint its parts")
            yield path


def _refuse(error: OSError) -> None:
    raise InvalidValueError(f"the directory cannot be read: {error}") from error


def table_of_file(path: Path) -> Iterator[Chunk] | None:
    """Chunks of the table in a file, read in bounded memory; None where the format is not one of tables."""
    ending = path.name.lower()
    readers = {
        (".parquet", ".pq"): _parquet, (".feather", ".arrow", ".ipc"): _ipc, (".npy",): _npy,
        (".csv", ".tsv", ".csv.gz", ".tsv.gz"): chunks_of_delimited, (".jsonl", ".ndjson"): _json_lines,
    }  # fmt: skip
    for endings, read in readers.items():
        if ending.endswith(endings):
            return _named(path, read)
    return None


def _named(path: Path, read: Any) -> Iterator[Chunk]:
    """What goes wrong in a reader, with the file's name."""
    try:
        yield from read(path)
    except (InvalidValueError, MissingDependencyError, MemoryError):
        raise
    except Exception as error:
        raise InvalidValueError(
            f"{str(path)!r} cannot be read as its ending says: {type(error).__name__}: {error}"
        ) from error


def _parquet(path: Path) -> Iterator[Chunk]:
    try:
        from pyarrow import parquet
    except ImportError:
        yield from _parquet_otherwise(path)
        return
    with parquet.ParquetFile(path, pre_buffer=False, buffer_size=_READ_BYTES) as file:
        is_empty = True
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
            is_empty = False
            yield from arrow.chunks_of(batch)
        if is_empty:
            yield from arrow.chunks_of(file.schema_arrow.empty_table())


def _parquet_otherwise(path: Path) -> Iterator[Chunk]:
    """With what is there instead of pyarrow."""
    try:
        import duckdb
    except ImportError:
        try:
            import polars
        except ImportError as error:
            raise MissingDependencyError("pyarrow", purpose="Parquet files") from error
        yield from tables.table_chunks(polars.read_parquet(path)) or ()
    else:
        yield from arrow.chunks_of(duckdb.read_parquet(str(path)))


def _ipc(path: Path) -> Iterator[Chunk]:
    try:
        import pyarrow
    except ImportError as error:
        raise MissingDependencyError("pyarrow", purpose="Arrow and Feather files") from error
    with pyarrow.memory_map(str(path)) as source:
        try:
            reader = pyarrow.ipc.open_file(source)
        except pyarrow.ArrowInvalid:
            source.seek(0)
            yield from arrow.chunks_of(pyarrow.ipc.open_stream(source))
            return
        for number in range(reader.num_record_batches):
            yield from arrow.chunks_of(reader.get_batch(number))
        if not reader.num_record_batches:
            yield from arrow.chunks_of(reader.schema.empty_table())


def _npy(path: Path) -> Iterator[Chunk]:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim == 0 or (array.ndim == 2 and array.flags.f_contiguous and not array.flags.c_contiguous):
        yield from frames.chunks_of_array(array)
        return
    step = max(1, (32 << 20) // max(1, array.itemsize * int(np.prod(array.shape[1:]))))
    for start in range(0, max(1, len(array)), step):
        # read anew for each part: pages of a mapping that stays would count as memory of this process
        part = np.load(path, mmap_mode="r", allow_pickle=False)[start : start + step]
        yield from frames.chunks_of_array(part)


def _json_lines(path: Path) -> Iterator[Chunk]:
    import json

    def rows() -> Iterator[Any]:
        with path.open(encoding="utf-8") as file:
            for line in file:
                if line.strip():
                    yield json.loads(line)

    names: dict[str, None] = {}
    for row in rows():
        if not isinstance(row, dict):
            raise InvalidValueError(f"{str(path)!r} holds a line that is no JSON object")
        names.update(dict.fromkeys(row))
    for batch in tables.batches(rows()):
        yield from tables.chunks_of_dicts(batch, tuple(names))
