"""Settings: argument > ``set_*()`` > environment > default, read when a run or a store is opened, never at import.

Every variable is described in ``docs/environment-variables.md``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from mlops_sdk.errors import InvalidValueError

Mode = Literal["online", "offline", "disabled"]
JournalMode = Literal["auto", "mmap", "append"]

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"", "0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be set, resolved.

    Attributes
    ----------
    tracking_uri : str or None
        Where runs are kept; None: discovered.
    experiment : str
    run_id, resume : str or None
    mode : {"online", "offline", "disabled"}
    token : str or None
        Never stored, never shown.
    strict : bool
        `log_*` and `set_*` raise instead of counting.
    journal : {"auto", "mmap", "append"}
    spool : str or None
        Directory for journals when it is not the store's own.
    drain_period_s : float
        How long a record waits in the journal, at most, before it is in the store.
    finish_timeout_s : float
        Bound on `finish()` and on interpreter exit.
    quota_bytes : int
        Undelivered journal bytes a writer may keep; beyond, records are dropped and counted.
    """

    tracking_uri: str | None = None
    experiment: str = "default"
    run_id: str | None = None
    resume: str | None = None
    mode: Mode = "online"
    token: str | None = None
    strict: bool = False
    journal: JournalMode = "auto"
    spool: str | None = None
    drain_period_s: float = 1.0
    finish_timeout_s: float = 5.0
    quota_bytes: int = 4 << 30

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in self.__slots__ if name != "token"}
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


_chosen: dict[str, Any] = {}
"""What `set_experiment` and `set_tracking_uri` said in this process."""


def choose(**values: str | None) -> None:
    """Set process-wide choices that stand above the environment; None takes one back."""
    for name, value in values.items():
        if value is None:
            _chosen.pop(name, None)
        else:
            _chosen[name] = value


def resolve(environ: Mapping[str, str] | None = None, **arguments: Any) -> Settings:
    """Resolve settings now.

    Parameters
    ----------
    environ : mapping, optional
        `os.environ` when not given.
    **arguments
        Fields of `Settings`; None means "not given".

    Raises
    ------
    InvalidValueError
        If a value is not one of those allowed; it names the variable.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    env = _read_environment(os.environ if environ is None else environ)
    settings = replace(Settings(), **{**env, **_chosen, **given})
    _check(settings)
    return settings


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    names = ("tracking_uri", "experiment", "run_id", "resume", "mode", "token", "journal", "spool")
    values: dict[str, Any] = {
        name: environ[f"MLOPS_{name.upper()}"] for name in names if environ.get(f"MLOPS_{name.upper()}")
    }
    strict = environ.get("MLOPS_STRICT", "").strip().lower()
    if strict not in _TRUE | _FALSE:
        raise InvalidValueError(f"MLOPS_STRICT={strict!r}: use 1 or 0")
    if strict in _TRUE:
        values["strict"] = True
    return values


def _check(settings: Settings) -> None:
    _one_of("mode (MLOPS_MODE)", settings.mode, ("online", "offline", "disabled"))
    _one_of("journal (MLOPS_JOURNAL)", settings.journal, ("auto", "mmap", "append"))
    if settings.resume is not None:
        _one_of("resume (MLOPS_RESUME)", settings.resume, ("must", "allow"))


def _one_of(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidValueError(f"{what} is {cast(object, value)!r}; use one of {', '.join(allowed)}")
