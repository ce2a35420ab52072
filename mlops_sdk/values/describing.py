"""Any object as text: short, safe and the same in every process."""

from __future__ import annotations

import re
from types import TracebackType

from mlops_sdk.errors import InvalidValueError, MlopsError

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_SHOWN = 80


def text_of(value: object) -> str:
    """Describe an object as text that equal configurations share.

    Parameters
    ----------
    value : object
        Its `str` is taken; of bytes the `repr`; of a class, and of a callable with a name of its own, the dotted name.

    Returns
    -------
    str
        Without memory addresses. When `str` raises, the `repr`; when that raises too, ``<module.Class>``.

    Notes
    -----
    Runs code of the object, in a time that only that code bounds; an `Exception` of it never comes out.
    """
    for render in (_render, repr):
        try:
            text = render(value)
        except Exception:  # noqa: BLE001, S112 - whatever it raises, the next rendering tells what the object is
            continue
        return _ADDRESS.sub("", str.__str__(text))
    return f"<{_dotted_name(type(value))}>"


def _render(value: object) -> str:
    if isinstance(value, (bytes, memoryview)):
        return repr(bytes(value))
    is_named = isinstance(value, type) or (callable(value) and isinstance(getattr(value, "__qualname__", None), str))
    return _dotted_name(value) if is_named else str(value)


def _dotted_name(named: object) -> str:
    module = getattr(named, "__module__", None)
    name = getattr(named, "__qualname__", None) or getattr(named, "__name__", "?")
    return f"{name}" if module in (None, "builtins") else f"{module}.{name}"


def shown(text: str) -> str:
    """Text for an error message: quoted, short, with everything unprintable escaped."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def type_name(value: object) -> str:
    """Name of the type as an error message gives it: ``int``, ``numpy.ndarray``."""
    return _dotted_name(type(value))


class Refusing:
    """Maps whatever code of the user's objects raises inside the block to `InvalidValueError`.

    Parameters
    ----------
    what : str
        Begins the message: what could not be done; ``{}`` stands for the type of `value`.
    value : object

    Raises
    ------
    InvalidValueError
        From the `Exception` that came out of the block; errors of this package pass unchanged.
    """

    __slots__ = ("_value", "_what")

    def __init__(self, what: str, value: object) -> None:
        self._what = what
        self._value = value

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, Exception) and not isinstance(error, MlopsError):
            what = self._what.replace("{}", type_name(self._value))
            raise InvalidValueError(f"{what}: {type(error).__name__}: {text_of(error)[:200]}") from error
