"""The param- and tag-logging methods of a run."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_sdk.errors import InvalidValueError, ParamConflictError
from mlops_sdk.journal.records import Kind
from mlops_sdk.run.emitting import Emitting
from mlops_sdk.values.params import EncodedParam, check_key, decode_param, encode_param, flatten_params, same_param

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict

_CHUNK_BYTES = 200_000
_MAX_TEXT_BYTES = 1 << 16


class ParamLogging(Emitting):
    """What `Run` offers for params, tags and the like; mixed into it."""

    _params_seen: dict[str, EncodedParam]

    def log_param(self, key: str, value: Any, *, overwrite: bool = False) -> None:
        """Log one param; a different value for a set key is a conflict unless `overwrite` (the history is kept)."""
        self._guard("params", lambda: self._log_params({check_key(key, "param"): value}, overwrite))

    def log_params(self, mapping: Any, *, overwrite: bool = False) -> None:
        """Log params.

        Parameters
        ----------
        mapping : mapping, dataclass, pydantic model, namespace, OmegaConf config or scikit-learn estimator
            Nested mappings flatten with dots; lists are one value.
        overwrite : bool
            Replace values that are set already.
        """
        self._guard("params", lambda: self._log_params(mapping, overwrite))

    def _log_params(self, mapping: Any, overwrite: bool) -> None:
        flat, config = flatten_params(mapping)
        rows: list[list[Any]] = []
        for key, value in flat.items():
            try:
                encoded = encode_param(value)
                if self._is_new_param(check_key(key, "param"), encoded, overwrite):
                    rows.append([key, encoded.kind, encoded.text, encoded.number])
            except (InvalidValueError, ParamConflictError) as error:
                self._troubles.report(error, key=key)
        for start, end in _chunks(rows):
            self._emit(Kind.PARAMS, {"params": rows[start:end], "overwrite": overwrite})
        if rows and _fits(config):
            self._emit(Kind.PARAMS, {"params": [], "config": config})

    def _is_new_param(self, key: str, encoded: EncodedParam, overwrite: bool) -> bool:
        seen = self._params_seen.get(key)
        if seen is not None and not overwrite:
            if same_param(seen, encoded):
                return False
            raise ParamConflictError(key, decode_param(seen.kind, seen.text), decode_param(encoded.kind, encoded.text))
        self._params_seen[key] = encoded
        return True

    def set_tag(self, key: str, value: Any) -> None:
        """Set a tag; the last value wins."""
        self._guard("tags", lambda: self._set_tags({check_key(key, "tag"): value}))

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set several tags."""
        self._guard("tags", lambda: self._set_tags(tags))

    def _set_tags(self, tags: Mapping[str, Any]) -> None:
        if not isinstance(tags, Mapping):
            raise InvalidValueError(f"tags are a mapping of names to values, not {type(tags).__name__}")
        texts: dict[str, str] = {}
        for key, value in list(tags.items()):
            try:
                texts[check_key(key, "tag")] = _text(value, f"tag {key!r}")
            except Exception as error:  # what cannot be made text costs only itself
                self._troubles.report(error, key=key)
        if texts:
            self._emit(Kind.TAGS, {"set": texts})

    def delete_tag(self, key: str) -> None:
        """Remove a tag; quiet when it is not there."""
        self._guard(key, lambda: self._emit(Kind.TAGS, {"delete": [check_key(key, "tag")]}))

    def rename(self, name: str) -> None:
        """Give the run another name."""
        self._guard("name", lambda: self._emit(Kind.INFO, {"name": check_key(name, "name")}))

    def set_description(self, text: str) -> None:
        """Replace the description."""
        self._guard("description", lambda: self._emit(Kind.INFO, {"description": _text(text, "description")}))

    def move(self, experiment: str) -> None:
        """Move the run to another experiment, made when it is not there."""
        self._guard("experiment", lambda: self._emit(Kind.INFO, {"experiment": check_key(experiment, "experiment")}))


def _text(value: Any, what: str) -> str:
    text = str(value)
    if len(text.encode("utf-8", "surrogatepass")) > _MAX_TEXT_BYTES:
        raise InvalidValueError(f"{what} is longer than {_MAX_TEXT_BYTES} bytes: log it with log_text")
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _chunks(rows: list[list[Any]]) -> list[tuple[int, int]]:
    """Ranges of rows whose text fits one record."""
    bounds, size = [0], 0
    for index, row in enumerate(rows):
        size += len(row[0]) * 4 + len(row[2]) * 4 + 64
        if size > _CHUNK_BYTES and index > bounds[-1]:
            bounds.append(index)
            size = len(row[0]) * 4 + len(row[2]) * 4 + 64
    bounds.append(len(rows))
    return [(start, end) for start, end in itertools.pairwise(bounds) if end > start]


def _fits(config: JsonDict) -> bool:
    try:
        return len(json.dumps(config)) < _CHUNK_BYTES
    except (TypeError, ValueError):
        return False
