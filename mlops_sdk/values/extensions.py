"""The extension of an artifact's name decides the format."""

from __future__ import annotations

import os
from collections.abc import Iterable
from posixpath import splitext

from mlops_sdk.errors import InvalidValueError
from mlops_sdk.values.describing import shown


def checked_extension(file: str | os.PathLike[str], known: Iterable[str], default: str) -> str:
    """Extension of an artifact's name in lower case, `default` where it has none.

    Parameters
    ----------
    file : str
    known : iterable of str
        What there is a writer for, each with its dot.
    default : str

    Raises
    ------
    InvalidValueError
        If it is not among `known`.
    """
    name, choices = os.fspath(file), list(known)
    extension = splitext(name)[1].lower() or default
    if extension not in choices:
        raise InvalidValueError(f"{shown(name)}: this can be kept as {', '.join(choices)}", key=name)
    return extension
