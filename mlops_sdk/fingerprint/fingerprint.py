"""What a fingerprint says."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.fingerprint.canonical import VERSION
from mlops_sdk.fingerprint.digest import Hashing
from mlops_sdk.fingerprint.lookup import LookupTable, Smallest, decoded
from mlops_sdk.fingerprint.mixing import MASK
from mlops_sdk.fingerprint.profile import Profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlops_sdk._types import JsonDict
    from mlops_sdk.fingerprint.diff import Diff, Overlap


@dataclass(frozen=True, slots=True)
class ColumnFingerprint:
    """One column.

    Attributes
    ----------
    name : str
    type : str
        Logical type with its width: ``int32``, ``text``, ``datetime64[us, UTC]``.
    kind : str
        What its values are: ``number``, ``text``, ``bytes``, ``time``, ``instant``, ``duration``, ``clock``, ``nested``,
        ``complex``, ``mixed``, or ``null`` where every one is missing.
    digest : str or None
        64 hex digits: the values in row order, without the name; None after two fingerprints were merged.
    n_nulls : int
    lane : int or None
        Sum of the mixed codes: the values in any order.
    profile : Profile or None
    """

    name: str
    type: str
    kind: str
    digest: str | None
    n_nulls: int
    lane: int | None = None
    profile: Profile | None = None

    def to_dict(self, *, with_profile: bool = True) -> JsonDict:
        """As JSON can say it."""
        said: JsonDict = {name: getattr(self, name) for name in ("name", "type", "kind", "digest", "n_nulls")}
        said["lane"] = None if self.lane is None else f"{self.lane:016x}"
        if with_profile and self.profile is not None:
            said["profile"] = self.profile.to_dict()
        return said

    @classmethod
    def from_dict(cls, said: JsonDict) -> ColumnFingerprint:
        """Undo `to_dict`."""
        lane, profile = said.get("lane"), said.get("profile")
        return cls(
            str(said["name"]), str(said["type"]), str(said["kind"]), said["digest"], int(said["n_nulls"]),
            None if lane is None else int(lane, 16), None if profile is None else Profile.from_dict(profile),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Identity of a data set, and enough of it to say later what changed.

    Attributes
    ----------
    digest : str or None
        256 bits, 64 hex digits, of the ordered canonical form: names, column order, row order, values, nulls. None when
        two fingerprints were merged: what was hashed apart has no ordered digest together.
    content_digest : str or None
        Of the same rows in any order, and the same columns in any order. None without row hashes.
    schema_digest : str
        Of names and types, widths included.
    n_rows : int
    columns : mapping of str to ColumnFingerprint
    parts : mapping of str to Fingerprint
        Of a collection (a dict, a tuple, a directory): its members.
    target : str or None
        Name of the target column.
    name, context : str or None
    files : mapping of str to str
        Of files: BLAKE3 of the bytes by path.
    error : str or None
        Why there is none: `log_dataset` could not make it. Such a fingerprint is falsy.

    Notes
    -----
    Equal when the digests are. `a + b` is of the rows of both: everything but `digest` and the columns' digests is as if
    they had been hashed together. Immutable.

    References
    ----------
    .. [1] ``docs/fingerprint-spec.md``
    """

    digest: str | None
    content_digest: str | None
    schema_digest: str
    n_rows: int
    fields: tuple[ColumnFingerprint, ...] = ()
    lanes: tuple[int, int] | None = None
    table: LookupTable | None = None
    smallest: Smallest | None = None
    secure_state: NDArray[np.uint16] | None = None
    salt: bytes | None = field(default=None, repr=False)
    salt_id: str = ""
    nan_is_null: bool = True
    parts: Mapping[str, Fingerprint] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    name: str | None = None
    context: str | None = None
    row_hashes: NDArray[np.uint64] | None = field(default=None, repr=False)
    source: Any = field(default=None, repr=False)
    unf_text: str | None = field(default=None, repr=False)
    error: str | None = None

    @property
    def columns(self) -> Mapping[str, ColumnFingerprint]:
        """Columns by name; of several with one name, those after the first have ``#2``, ``#3`` behind it."""
        found: dict[str, ColumnFingerprint] = {}
        for column in self.fields:
            name, turn = column.name, 1
            while name in found:
                turn += 1
                name = f"{column.name}#{turn}"
            found[name] = column
        return found

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return len(self.fields)

    @property
    def profile(self) -> Mapping[str, Profile]:
        """Profiles by column; empty when none was asked for."""
        return {name: column.profile for name, column in self.columns.items() if column.profile is not None}

    @property
    def unf(self) -> str:
        """UNF version 6, ``UNF:6:...``: the citation fingerprint of Dataverse.

        Raises
        ------
        InvalidValueError
            If the data is gone: ``fingerprint(data, unf=True)`` computes it at once.
        """
        from mlops_sdk.fingerprint.unf import of_source

        return of_source(self)

    def diff(self, other: Fingerprint) -> Diff:
        """What changed from this data to the other, without the data.

        Parameters
        ----------
        other : Fingerprint

        Raises
        ------
        InvalidValueError
            If one is salted differently, or treats NaN differently: their hashes cannot be compared.
        """
        from mlops_sdk.fingerprint.diff import compare

        return compare(self, other)

    def overlap(self, other: Fingerprint) -> Overlap:
        """How many rows of the other data set are in this one too: leakage of test rows into train, say.

        Raises
        ------
        InvalidValueError
            As `diff`; and if one has no sketches.
        """
        from mlops_sdk.fingerprint.diff import overlap

        return overlap(self, other)

    def __add__(self, other: Fingerprint) -> Fingerprint:
        """The rows of both together; without an ordered digest, which cannot be had from two (``docs/fingerprint-spec.md``, "Sums")."""
        from mlops_sdk.fingerprint.merging import merge

        return merge(self, other)

    def __bool__(self) -> bool:
        return self.error is None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Fingerprint):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __getstate__(self) -> dict[str, Any]:
        """Without what is of this process only."""
        return {**self.__dict__, "source": None, "row_hashes": None}

    def _identity(self) -> tuple[str | None, str | None, str]:
        return self.digest, self.content_digest, self.schema_digest

    def to_dict(self, *, with_profile: bool = True, with_sketches: bool = True) -> JsonDict:
        """Everything but the data, as JSON can say it: what a run stores.

        Parameters
        ----------
        with_profile, with_sketches : bool
            Leave out what is large.
        """
        said: JsonDict = {
            "version": VERSION, "name": self.name, "context": self.context, "digest": self.digest,
            "content_digest": self.content_digest, "schema_digest": self.schema_digest, "n_rows": self.n_rows,
            "n_columns": self.n_columns, "target": self.target, "nan_is_null": self.nan_is_null, "salt_id": self.salt_id,
            "columns": [column.to_dict(with_profile=with_profile) for column in self.fields],
        }  # fmt: skip
        if self.lanes is not None:
            said["lanes"] = [f"{lane:016x}" for lane in self.lanes]
        if self.secure_state is not None:
            said["secure"] = base64.b64encode(self.secure_state.astype("<u2").tobytes()).decode()
        if with_sketches and self.table is not None and self.smallest is not None:
            said["lookup"] = self.table.to_text()
            said["smallest"] = {"k": self.smallest.k, "hashes": self.smallest.to_text()}
        if self.parts:
            flags = {"with_profile": with_profile, "with_sketches": with_sketches}
            said["parts"] = {name: part.to_dict(**flags) for name, part in self.parts.items()}
        if self.unf_text is not None:
            said["unf"] = self.unf_text
        if self.files:
            said["files"] = dict(self.files)
        return said

    @classmethod
    def from_dict(cls, said: Any) -> Fingerprint:
        """Undo `to_dict`; unknown keys are passed over.

        Raises
        ------
        InvalidValueError
            If it is damaged, or of a newer version.
        """
        try:
            return _from_dict(said)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            if isinstance(error, InvalidValueError):
                raise
            raise InvalidValueError(f"this is no stored fingerprint: {type(error).__name__}: {error}") from error

    def _repr_html_(self) -> str:
        from mlops_sdk.fingerprint.html import of_fingerprint

        return of_fingerprint(self)

    def __repr__(self) -> str:
        named = f" {self.name!r}" if self.name else ""
        return f"<Fingerprint{named} {(self.digest or self.content_digest or '')[:16]} {self.n_rows:,} x {self.n_columns:,}>"


def _from_dict(said: JsonDict) -> Fingerprint:
    if said["version"] != VERSION:
        raise InvalidValueError(f"a fingerprint of version {said['version']!r}; this mlops_sdk reads {VERSION}")
    lanes, smallest, secure = said.get("lanes"), said.get("smallest"), said.get("secure")
    state = None if secure is None else np.frombuffer(decoded(secure), dtype="<u2").astype(np.uint16)
    return Fingerprint(
        digest=said["digest"], content_digest=said["content_digest"], schema_digest=said["schema_digest"],
        n_rows=int(said["n_rows"]), fields=tuple(ColumnFingerprint.from_dict(column) for column in said["columns"]),
        lanes=None if lanes is None else (int(lanes[0], 16), int(lanes[1], 16)),
        table=LookupTable.from_text(said["lookup"]) if "lookup" in said else None,
        smallest=None if smallest is None else Smallest.from_text(smallest["hashes"], int(smallest["k"])),
        secure_state=state, salt_id=said["salt_id"], nan_is_null=bool(said["nan_is_null"]),
        parts={name: Fingerprint.from_dict(part) for name, part in said.get("parts", {}).items()},
        files=dict(said.get("files", {})), unf_text=said.get("unf"), target=said["target"], name=said["name"], context=said["context"],
    )  # fmt: skip


def content_digest(
    hashing: Hashing, n_rows: int, columns: Sequence[ColumnFingerprint], lanes: Sequence[int], state: Any = None
) -> str:
    """The digest free of row and column order; of the secure state where there is one.

    Parameters
    ----------
    lanes : two int
        Sums of the row hashes, and of the same mixed once more, modulo 2^64.
    state : uint16[1024] or None
    """
    named = sorted((column.name.encode("utf-8", "surrogatepass"), column.kind.encode()) for column in columns)
    pieces = [struct.pack("<Q", n_rows), *(piece for pair in named for piece in pair)]
    if state is not None:
        return hashing.tagged("secure content", *pieces, state.astype("<u2").tobytes()).hex()
    return hashing.tagged("content", *pieces, struct.pack("<QQ", lanes[0] & MASK, lanes[1] & MASK)).hex()


def schema_digest(columns: Sequence[ColumnFingerprint]) -> str:
    """Of names and types in order; never salted: it holds no values."""
    said = json.dumps([[column.name, column.type] for column in columns], ensure_ascii=True, separators=(",", ":"))
    return Hashing().tagged("schema", said.encode()).hex()
