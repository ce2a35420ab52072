"""What a run failed of, as text."""

from __future__ import annotations

import traceback

from mlops_sdk.capture.redact import redact_text

LIMIT_BYTES = 1 << 16
# Redaction comes before the last cut, so that no secret is cut in two; this bounds what it has to read.
_READ_LIMIT = 4 * LIMIT_BYTES
_NOTE = "\n[... the middle is cut out ...]\n"


def format_failure(error: BaseException) -> str:
    """Traceback of an exception with its causes, notes and groups, as the interpreter prints it.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    str
        Redacted; at most 64 KiB of UTF-8, the middle cut out where it is longer. Source lines are in it, values of local
        variables are not.

    Notes
    -----
    Never raises: an exception that cannot be formatted gives its type's name.
    """
    try:
        text = "".join(traceback.TracebackException.from_exception(error, capture_locals=False).format())
    except Exception as trouble:  # noqa: BLE001 - __str__, __cause__ and a source file's loader are foreign code
        text = f"{type(error).__name__} (its traceback could not be formatted: {type(trouble).__name__})\n"
    return _cut_middle(redact_text(_cut_middle(text, _READ_LIMIT)), LIMIT_BYTES)


def _cut_middle(text: str, limit_bytes: int) -> str:
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= limit_bytes:
        return text
    half = (limit_bytes - len(_NOTE)) // 2
    start, end = data[:half].decode("utf-8", "ignore"), data[-half:].decode("utf-8", "ignore")
    return f"{_whole_words(start)}{_NOTE}{_whole_words(end[::-1])[::-1]}"


def _whole_words(text: str) -> str:
    """`text` up to its last white space: a secret cut in two could not be told by its shape."""
    return text[: max(text.rfind(blank) for blank in (" ", "\t", "\n")) + 1]
