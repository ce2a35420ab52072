"""Every error this package raises on purpose.

::

    MlopsError
    |-- InvalidValueError (also ValueError)      an argument that cannot be used
    |   `-- FilterSyntaxError                    filter text, with the column marked
    |-- NotFoundError (also LookupError)
    |   |-- RunNotFoundError
    |   |-- ExperimentNotFoundError
    |   |-- MetricNotFoundError
    |   |-- ArtifactNotFoundError
    |   `-- AmbiguousRunError                    a prefix or name that fits several runs
    |-- StateError                               right call, wrong moment
    |   |-- RunExistsError
    |   |-- RunActiveError
    |   |-- RunFinishedError
    |   |-- ParamConflictError
    |   `-- NoActiveRunError
    |-- StoreError
    |   |-- StoreUnavailableError                try again later; nothing was written
    |   |-- QueryTimeoutError                    a search took longer than it may
    |   |-- StoreCorruptError                    damage, with its place
    |   |-- StoreVersionError                    written by a newer mlops_sdk
    |   |-- ForeignStoreError                    a database or directory that is not ours
    |   |-- SequenceGapError                     a batch from beyond what is stored
    |   |-- DivergedError                        another history under the same numbers
    |   |-- AccessDeniedError                    a server that refuses: no token, or not one for this
    |   `-- NotDurableError                      flush() could not make everything durable
    |-- IntegrityError                           bytes that do not match their digest
    |-- UntrustedModelError                      load_model() without trust=True
    `-- MissingDependencyError (also ImportError)

After ``start_run`` returned, ``log_*`` and ``set_*`` calls report these through logging and ``run.health()`` and raise
them only with ``strict=True``. Each error carries its data as attributes and its text says what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = [
    "AccessDeniedError",
    "AmbiguousRunError",
    "ArtifactNotFoundError",
    "DivergedError",
    "ExperimentNotFoundError",
    "FilterSyntaxError",
    "ForeignStoreError",
    "IntegrityError",
    "InvalidValueError",
    "MetricNotFoundError",
    "MissingDependencyError",
    "MlopsError",
    "NoActiveRunError",
    "NotDurableError",
    "NotFoundError",
    "ParamConflictError",
    "QueryTimeoutError",
    "RunActiveError",
    "RunExistsError",
    "RunFinishedError",
    "RunNotFoundError",
    "SequenceGapError",
    "StateError",
    "StoreCorruptError",
    "StoreError",
    "StoreUnavailableError",
    "StoreVersionError",
    "UntrustedModelError",
]


class MlopsError(Exception):
    """Base of every error of this package."""


class InvalidValueError(MlopsError, ValueError):
    """An argument that cannot be used.

    Attributes
    ----------
    key : str or None
        The name it was given for, when there is one.
    """

    def __init__(self, message: str, *, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


class FilterSyntaxError(InvalidValueError):
    """Filter text that cannot be read.

    Attributes
    ----------
    text : str
        The filter as given.
    column : int
        Zero-based position of the trouble in `text`.
    """

    def __init__(self, message: str, *, text: str = "", column: int = 0) -> None:
        marked = f"{message}\n  {text}\n  {' ' * column}^" if text else message
        super().__init__(marked)
        self.text = text
        self.column = column


class NotFoundError(MlopsError, LookupError):
    """Something asked for by name is not there."""


class RunNotFoundError(NotFoundError):
    """No run fits.

    Attributes
    ----------
    run : str
        What was asked for.
    """

    def __init__(self, run: str, message: str | None = None) -> None:
        super().__init__(message or f"no run {run!r} in this store: `mlops runs` lists what there is")
        self.run = run


class ExperimentNotFoundError(NotFoundError):
    """No experiment of that name."""

    def __init__(self, experiment: str) -> None:
        super().__init__(f"no experiment {experiment!r} in this store: `mlops experiments` lists what there is")
        self.experiment = experiment


class MetricNotFoundError(NotFoundError):
    """The run never logged that metric."""

    def __init__(self, key: str, known: Sequence[str] = ()) -> None:
        hint = f"; it has {', '.join(sorted(known)[:12])}" if known else "; it has no metrics"
        super().__init__(f"the run has no metric {key!r}{hint}")
        self.key = key
        self.known = list(known)


class ArtifactNotFoundError(NotFoundError):
    """The run has no artifact of that path, or its bytes are gone."""

    def __init__(self, path: str, message: str | None = None) -> None:
        super().__init__(message or f"the run has no artifact {path!r}")
        self.path = path


class AmbiguousRunError(NotFoundError):
    """A prefix, suffix or name that fits several runs.

    Attributes
    ----------
    candidates : tuple of str
        Ids of the runs that fit, at most 20.
    """

    def __init__(self, run: str, candidates: Sequence[str]) -> None:
        listed = ", ".join(candidates[:20])
        super().__init__(f"{run!r} fits {len(candidates)} runs: {listed}. Give more of the id")
        self.run = run
        self.candidates = tuple(candidates[:20])


class StateError(MlopsError):
    """A call that is right in itself, at the wrong moment."""


class RunExistsError(StateError):
    """`start_run(run_id=...)` for a run that is there already."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"run {run_id!r} exists already: pass resume='must' (or 'allow') to go on with it, or another run_id"
        )
        self.run_id = run_id


class RunActiveError(StateError):
    """A second `start_run` while one is active in this context."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"run {run_id!r} is active already: finish it first, or pass nested=True (a child of it) or parent="
        )
        self.run_id = run_id


class RunFinishedError(StateError):
    """Something was logged to a run after its end."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id!r} is finished: start_run(run_id={run_id!r}, resume='must') goes on with it")
        self.run_id = run_id


class ParamConflictError(StateError):
    """A param was logged again with another value.

    Attributes
    ----------
    key : str
    old, new : object
        The value that stands, and the one that was refused.
    """

    def __init__(self, key: str, old: object, new: object) -> None:
        super().__init__(
            f"param {key!r} is {old!r} already, {new!r} was refused: pass overwrite=True to log_param to replace it"
        )
        self.key = key
        self.old = old
        self.new = new


class NoActiveRunError(StateError):
    """A module-level function found no run, or several."""


class StoreError(MlopsError):
    """Trouble with the place where runs are kept."""


class StoreUnavailableError(StoreError):
    """The store cannot be reached or written just now; nothing was written, try again."""


class QueryTimeoutError(StoreError):
    """A search took longer than it may, and was given up.

    Attributes
    ----------
    timeout_s : float
    """

    def __init__(self, timeout_s: float) -> None:
        super().__init__(
            f"the search was given up after {timeout_s:g} s: ask for fewer terms, an experiment, or patterns without a "
            "leading %"
        )
        self.timeout_s = timeout_s


class StoreCorruptError(StoreError):
    """Stored bytes are damaged.

    Attributes
    ----------
    place : str
        What is damaged: a file and offset, or a table and row.
    """

    def __init__(self, message: str, *, place: str = "") -> None:
        super().__init__(message)
        self.place = place


class StoreVersionError(StoreError):
    """Written by a newer format than this version reads; nothing was touched.

    Attributes
    ----------
    found, supported : int
        Format numbers.
    """

    def __init__(self, what: str, found: int, supported: int) -> None:
        super().__init__(
            f"{what} has format {found}, this mlops_sdk reads up to {supported}: upgrade mlops_sdk to open it"
        )
        self.found = found
        self.supported = supported


class ForeignStoreError(StoreError):
    """A database or directory that is not ours; it was not touched."""


class SequenceGapError(StoreError):
    """A batch begins beyond what is stored; nothing was written.

    Attributes
    ----------
    expected : int
        The sequence number the store waits for.
    """

    def __init__(self, writer_id: str, expected: int, got: int) -> None:
        super().__init__(f"writer {writer_id}: the store waits for record {expected}, the batch begins at {got}")
        self.writer_id = writer_id
        self.expected = expected
        self.got = got


class DivergedError(StoreError):
    """Another history under the same sequence numbers (a copied spool); nothing was written.

    Attributes
    ----------
    common : int
        The last sequence number up to which both histories agree.
    keys : mapping of int to str
        The metrics that the writer had defined up to there, by key id: the records that follow refer to them.
    """

    def __init__(self, writer_id: str, common: int, keys: Mapping[int, str] | None = None) -> None:
        super().__init__(f"writer {writer_id}: the store holds another history after record {common}")
        self.writer_id = writer_id
        self.common = common
        self.keys = dict(keys or {})


class AccessDeniedError(StoreError):
    """The server refused: no token, a wrong, expired or revoked one, or one that may not do this."""


class NotDurableError(StoreError):
    """`flush()` ended before everything logged was durable in the store.

    Attributes
    ----------
    waiting : int
        Records that are in the journal only.
    """

    def __init__(self, message: str, *, waiting: int = 0) -> None:
        super().__init__(message)
        self.waiting = waiting


class IntegrityError(MlopsError):
    """Bytes that do not match the digest they are stored under.

    Attributes
    ----------
    expected, found : str
        SHA-256 digests, lower-case hex.
    """

    def __init__(self, what: str, expected: str, found: str) -> None:
        super().__init__(f"{what}: expected sha256 {expected}, found {found}: the stored bytes are damaged")
        self.expected = expected
        self.found = found


class UntrustedModelError(MlopsError):
    """`load_model` of a format that can execute code, without `trust=True`."""


class MissingDependencyError(MlopsError, ImportError):
    """An optional package is needed; the text names the extra that brings it."""

    def __init__(self, package: str, *, extra: str | None = None, purpose: str = "") -> None:
        how = f"pip install 'mlops_sdk[{extra}]'" if extra else f"pip install {package}"
        super().__init__(f"{package} is needed{f' for {purpose}' if purpose else ''}: {how}")
        self.package = package
