"""The end of what a program printed."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections import deque
from typing import Any

LIMIT_BYTES = 1 << 16
_CHUNK_LIMIT = 512
_LARGE_CHUNK = 4096

_COLOURS = re.compile(r"\x1b\[[0-?]*+[ -/]*+[@-~]|\x1b\][^\x07\x1b\n]*+(?:\x07|\x1b\\)")
_STREAMS = ("stdout", "stderr")


class OutputTail:
    r"""Keeps the last of what goes through `sys.stdout` and `sys.stderr`, which go on as before.

    Parameters
    ----------
    limit_bytes : int
        How much text to keep, as UTF-8.

    Notes
    -----
    Seen is what Python code writes to the two streams as text; not what is written to ``sys.stdout.buffer``, to the file
    descriptors, or by child processes. Errors of the streams themselves (a closed pipe) reach the writer as they would
    without us; errors of ours do not.

    Thread-safe and free of waiting: a write is an append, so that it may happen in a signal handler, and a forked child
    finds no lock held. Several tails may be installed over each other, and uninstalled in any order.

    Examples
    --------
    >>> tail = OutputTail()
    >>> tail.install()
    >>> print("epoch 1, api_key=abc")
    epoch 1, api_key=abc
    >>> tail.uninstall()
    >>> tail.text()
    'epoch 1, api_key=***\n'
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit = max(int(limit_bytes), 1)
        self._chunks: deque[str] = deque()
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._is_cut = False
        self._tees: dict[str, _Tee] = {}

    def install(self) -> None:
        """Begin; nothing happens where it is installed already, or where a stream is missing (``pythonw``)."""
        for name in _STREAMS:
            stream = getattr(sys, name, None)
            if stream is not None and name not in self._tees:
                self._tees[name] = _Tee(stream, self)
                setattr(sys, name, self._tees[name])

    def uninstall(self) -> None:
        """End; what was printed stays. A stream that was replaced meanwhile stays, and ours passes on what still comes."""
        for name, tee in self._tees.items():
            _set_inert(tee)
            current = getattr(sys, name, None)
            if type(current) is _Tee:
                setattr(sys, name, _first_active(current))
        self._tees = {}

    def add(self, text: str) -> None:
        """Keep `text` as if it had been printed. Never raises."""
        try:
            self._chunks.append(text[-self._limit :] if len(text) > self._limit else text)
            self._is_cut = self._is_cut or len(text) > self._limit
            if len(text) > _LARGE_CHUNK or len(self._chunks) > _CHUNK_LIMIT:
                self._compact()
        except Exception:  # noqa: BLE001 - somebody's print(); what is no str is for the stream to refuse
            return

    def text(self) -> str:
        r"""The last of the output, redacted, as a terminal would show it at the end.

        Returns
        -------
        str
            At most `limit_bytes` of UTF-8. Of a line that was overwritten (``\r``: progress bars) the last state; without
            colour codes; from the beginning of a line, where an earlier part was dropped.

        Notes
        -----
        Never raises.
        """
        from mlops_sdk.capture.redact import redact_text  # a hundred patterns: not on the path of `start_run`

        data = self._copied().encode("utf-8", "backslashreplace")
        kept = data[-self._limit :].decode("utf-8", "ignore")
        if self._is_cut or len(data) > self._limit:
            kept = _from_line(kept)
        shown = redact_text(collapse_overwritten(_COLOURS.sub("", kept)).rstrip("\r"))
        return shown.encode("utf-8", "backslashreplace")[-self._limit :].decode("utf-8", "ignore")

    def _copied(self) -> str:
        self._renew_after_fork()
        is_ours = self._lock.acquire(timeout=1.0)  # not for ever: this may be a signal handler above a write
        try:
            while True:
                with contextlib.suppress(RuntimeError):  # somebody printed meanwhile
                    return "".join(list(self._chunks))
        finally:
            if is_ours:
                self._lock.release()

    def _compact(self) -> None:
        """Make one chunk of many. Where somebody else does so just now, that will do."""
        self._renew_after_fork()
        while len(self._chunks) > _CHUNK_LIMIT * 16:  # the lock was lost to an exception between two instructions
            self._chunks.popleft()
            self._is_cut = True
        if not self._lock.acquire(blocking=False):
            return
        try:
            taken = [self._chunks.popleft() for _ in range(len(self._chunks))]
            text = collapse_overwritten("".join(taken))
            self._is_cut = self._is_cut or len(text) > self._limit
            self._chunks.appendleft(text[-self._limit :])
        finally:
            self._lock.release()

    def _renew_after_fork(self) -> None:
        if self._pid != os.getpid():  # another thread of the parent may have held it
            self._pid, self._lock = os.getpid(), threading.Lock()


class _Tee:
    """A stream that passes everything on, and what is written also to a tail.

    Every other attribute, its class included, is the stream's.
    """

    __slots__ = ("_stream", "_tail")

    _stream: Any
    _tail: OutputTail | None

    def __init__(self, stream: Any, tail: OutputTail) -> None:
        object.__setattr__(self, "_stream", stream)
        object.__setattr__(self, "_tail", tail)

    def write(self, text: str) -> Any:
        written = self._stream.write(text)
        tail = self._tail
        if tail is not None:
            tail.add(text)
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._stream, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._stream, name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._stream)

    def __dir__(self) -> list[str]:
        return dir(self._stream)

    def __iter__(self) -> Any:
        return iter(self._stream)

    def __enter__(self) -> Any:
        self._stream.__enter__()
        return self

    def __exit__(self, *error: object) -> Any:
        return self._stream.__exit__(*error)

    def __repr__(self) -> str:
        return repr(self._stream)


def _set_inert(tee: _Tee) -> None:
    """Let it pass on only: whoever kept it may go on writing to it."""
    object.__setattr__(tee, "_tail", None)


def _first_active(stream: Any) -> Any:
    """The stream itself, or the one that it passes on to, past those that only pass on.

    Notes
    -----
    An inert tee between two active ones is taken out as well.
    """
    while type(stream) is _Tee and stream._tail is None:
        stream = stream._stream
    if type(stream) is _Tee:
        object.__setattr__(stream, "_stream", _first_active(stream._stream))
    return stream


def collapse_overwritten(text: str) -> str:
    r"""`text` with only the last state of each line that was overwritten by ``\r``.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        An unfinished last line keeps a ``\r`` at its end: what comes next overwrites it.

    Examples
    --------
    >>> collapse_overwritten("10%\r50%\r100%\ndone\r\n")
    '100%\ndone\n'
    """
    if "\r" not in text:
        return text
    *lines, last = text.split("\n")
    unfinished = _last_state(last) + ("\r" if last.endswith("\r") else "")
    return "\n".join([*map(_last_state, lines), unfinished])


def _last_state(line: str) -> str:
    states = line.rstrip("\r").rsplit("\r", 1)
    return states[-1]


def _from_line(text: str) -> str:
    """`text` from its first whole line on, else from its first whole word on: a secret cut in two has no shape."""
    line_end = text.find("\n")
    if line_end >= 0:
        return text[line_end + 1 :]
    word = re.search(r"\s", text)
    return text[word.end() :] if word else ""
