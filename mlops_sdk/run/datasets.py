"""The dataset-logging methods of a run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from mlops_sdk.entities import ArtifactRef
from mlops_sdk.errors import InvalidValueError
from mlops_sdk.journal.records import Kind
from mlops_sdk.run.emitting import Emitting
from mlops_sdk.run.trouble import words_of
from mlops_sdk.values.params import check_key

if TYPE_CHECKING:
    from mlops_sdk._types import JsonDict
    from mlops_sdk.fingerprint.fingerprint import Fingerprint
    from mlops_sdk.run.artifacts import Artifacts

MAX_RECORD_BYTES = 512 << 10
_KEPT = 8
_MOST_ROW_BYTES = 96 << 20
_TRAIN = ("train", "training", "fit")
_HELD_OUT = ("test", "testing", "valid", "validation", "val", "eval", "evaluation", "holdout", "dev")


class DatasetLogging(Emitting):
    """What `Run` offers for data sets; mixed into it."""

    _artifacts: Artifacts
    _seen_datasets: list[Fingerprint]

    def log_dataset(
        self, data: Any, *, name: str | None = None, context: str | None = None, target: Any = None
    ) -> Fingerprint:
        """Record which data the run used: the fingerprint of all of it, a profile, and what `diff` needs; not the data.

        Parameters
        ----------
        data : anything that `mlops_sdk.fingerprint` takes, or a Fingerprint
            A one-shot iterator is refused: `track_dataset` fingerprints it in passing.
        name : str, optional
        context : str, optional
            What it is for: ``train``, ``test``, ``validation``, or any other word.
        target : str or array of shape (n,), optional
            Name of the target column, or the column.

        Returns
        -------
        Fingerprint
            Falsy, with `.error`, when there is none (and the run is not strict).

        Notes
        -----
        Rows that a train and a test (or validation) set of the same run share are counted as trouble ``LeakedRows`` and said
        once. The profile holds least, greatest and most frequent values: for data that must not be stored, log
        ``mlops_sdk.fingerprint(data, profile=False, salt=...)``.
        """
        return self._log_dataset(data, name, context, target, None)

    def log_input(
        self, dataset: Any, context: str | None = None, tags: Mapping[str, str] | None = None, *, name: str | None = None,
        target: Any = None,
    ) -> Fingerprint:  # fmt: skip
        """`log_dataset` under MLflow's name; takes an ``mlflow.data`` dataset too, by the data in it.

        Parameters
        ----------
        dataset : data
        context : str, optional
        tags : mapping of str to str, optional
            Kept beside it.
        name : str, optional
        target : str or array, optional
        """
        data = dataset
        if type(dataset).__module__.startswith("mlflow."):
            data = next(
                (found for key in ("df", "features", "ds") if (found := getattr(dataset, key, None)) is not None),
                dataset,
            )
            name = name or getattr(dataset, "name", None)
            target = target if target is not None else getattr(dataset, "targets", None)
        return self._log_dataset(data, name, context, target, tags)

    def track_dataset(
        self, iterable: Iterable[Any], *, name: str | None = None, context: str | None = None, target: str | None = None
    ) -> TrackedDataset:
        """Fingerprint the batches of an iterable in passing; logged when it has been read to its end.

        Parameters
        ----------
        iterable : iterable of batches
            Each what `mlops_sdk.fingerprint` takes as a chunk, or a tuple or dict of arrays of one length.
        name, context, target : str, optional
            As in `log_dataset`.

        Returns
        -------
        iterable
            Of the same batches. Read several times (epochs), it is fingerprinted the first time only. A pass that is left
            early is counted as trouble: part of the data has no identity.
        """
        return TrackedDataset(self, iterable, name, context, target)

    def _log_dataset(
        self, data: Any, name: Any, context: Any, target: Any, tags: Mapping[str, str] | None
    ) -> Fingerprint:
        try:
            return self._keep_dataset(_fingerprint(data, target), name, context, tags)
        except Exception as error:  # user objects are read here: anything may come out
            self._troubles.report(error, key=name if isinstance(name, str) else "dataset")
            return _none_because(error)

    def _keep_dataset(
        self, made: Fingerprint, name: Any, context: Any, tags: Mapping[str, str] | None = None
    ) -> Fingerprint:
        made = replace(
            made, name=made.name if name is None else check_key(name, "dataset"),
            context=made.context if context is None else check_key(context, "context"),
        )  # fmt: skip
        payload = self._payload(made)
        if tags:
            payload["tags"] = {str(key): str(value) for key, value in tags.items()}
        self._guard(made.name, lambda: self._emit(Kind.DATASET, payload))
        self._warn_of_leaks(made)
        return made

    def _payload(self, made: Fingerprint) -> JsonDict:
        """What the record holds; where that would be too much, the rest is an artifact that it names."""
        said = made.to_dict()
        data = json.dumps(said).encode()
        if len(data) <= MAX_RECORD_BYTES:
            return said
        file = f"datasets/{(made.digest or made.content_digest or '')[:16]}.json"
        self._artifacts.put_bytes(data, file)
        said = made.to_dict(with_profile=False)
        if len(json.dumps(said)) > MAX_RECORD_BYTES:
            said = {**said, "columns": [], "parts": {}, "files": {}}
        return {**said, "artifact": file}

    def _warn_of_leaks(self, made: Fingerprint) -> None:
        for other in self._seen_datasets:
            pair = _train_and_held_out(made, other)
            if pair is None or not _have_same_columns(*pair):
                continue
            train, held_out = pair
            shared = train.overlap(held_out)
            if shared.shared.low > 0:
                self._troubles.count(
                    "LeakedRows",
                    f"{shared.shared} rows of {_label(held_out)} are in {_label(train)} too ({shared.share:.1%} of it): "
                    "a score on them says nothing about new data",
                )
        self._seen_datasets = _bounded([*self._seen_datasets, made][-_KEPT:])


class TrackedDataset:
    """Batches that are fingerprinted in passing; made by `Run.track_dataset`.

    Attributes
    ----------
    fingerprint : Fingerprint or None
        Once a pass came to its end.
    """

    def __init__(
        self, run: DatasetLogging, iterable: Iterable[Any], name: str | None, context: str | None, target: str | None
    ) -> None:
        self._run, self._iterable = run, iterable
        self._name, self._context, self._target = name, context, target
        self.fingerprint: Fingerprint | None = None
        self._is_done = False

    def __len__(self) -> int:
        return len(self._iterable)  # type: ignore[arg-type]  # the error of what has no length is the right one

    def __iter__(self) -> Iterator[Any]:
        if self._is_done:
            yield from self._iterable
            return
        self._is_done = True
        stream = self._start()
        for batch in self._iterable:
            stream = self._see(stream, batch)
            try:
                yield batch
            except GeneratorExit:
                self._run._troubles.count(
                    "PartlyRead", f"dataset {self._name or ''}: a pass was left early, it is not logged"
                )
                raise
        if stream is not None:
            self._end(stream)

    def _start(self) -> Any:
        """What absorbs the batches; None when there can be none."""
        try:
            from mlops_sdk.fingerprint.making import Stream

            return Stream(target=self._target)
        except Exception as error:
            self._run._troubles.report(error, key=self._name)
            return None

    def _see(self, stream: Any, batch: Any) -> Any:
        """Absorb a batch; None from the first trouble on."""
        if stream is not None:
            try:
                stream.add(batch)
            except Exception as error:
                self._run._troubles.report(error, key=self._name)
                return None
        return stream

    def _end(self, stream: Any) -> None:
        def keep() -> None:
            self.fingerprint = self._run._keep_dataset(stream.fingerprint(), self._name, self._context)

        self._run._guard(self._name, keep)


def _fingerprint(data: Any, target: Any) -> Fingerprint:
    from mlops_sdk.fingerprint.fingerprint import Fingerprint
    from mlops_sdk.fingerprint.making import fingerprint

    if isinstance(data, Fingerprint):
        return data
    if isinstance(data, Iterator):
        raise InvalidValueError(
            f"a {type(data).__name__} can be read only once, and would be empty for the training: wrap it in "
            "run.track_dataset(...), which fingerprints the batches in passing"
        )
    # row hashes are kept for an exact count of leaked rows; a file would have to be read again for them
    is_file = isinstance(data, (str, os.PathLike))
    return fingerprint(data, target=target, keep_rows=not is_file, progress=False)


def _none_because(error: Exception) -> Fingerprint:
    """A falsy fingerprint with `.error`; where even its module cannot be loaded, another reference that has both."""
    try:
        from mlops_sdk.fingerprint.fingerprint import Fingerprint
    except (OSError, ImportError):
        return cast("Fingerprint", ArtifactRef("dataset", error=words_of(error)))
    return Fingerprint(None, None, "", 0, error=words_of(error))


def _bounded(seen: list[Fingerprint]) -> list[Fingerprint]:
    """The same, without the row hashes of the older ones where all together would be too much memory."""
    left, kept = _MOST_ROW_BYTES, []
    for made in reversed(seen):
        n_bytes = 0 if made.row_hashes is None else made.row_hashes.nbytes
        left -= n_bytes
        kept.append(made if left >= 0 else replace(made, row_hashes=None))
    return kept[::-1]


def _train_and_held_out(one: Fingerprint, other: Fingerprint) -> tuple[Fingerprint, Fingerprint] | None:
    for train, held_out in ((one, other), (other, one)):
        if (train.context or "").lower() in _TRAIN and (held_out.context or "").lower() in _HELD_OUT:
            return train, held_out
    return None


def _have_same_columns(train: Fingerprint, held_out: Fingerprint) -> bool:
    """Row hashes can be compared: the same names, the same salt, and sketches."""
    names = [sorted(column.name for column in each.fields) for each in (train, held_out)]
    settings = [(each.salt_id, each.nan_is_null) for each in (train, held_out)]
    has_sketches = all(each.smallest is not None for each in (train, held_out))
    return bool(names[0]) and names[0] == names[1] and settings[0] == settings[1] and has_sketches


def _label(made: Fingerprint) -> str:
    return " ".join(filter(None, (made.context, repr(made.name) if made.name else "")))
