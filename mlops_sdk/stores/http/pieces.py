"""A part of a file as the body of a request: read while it is sent, from the beginning again when it is sent again."""

from __future__ import annotations

import os
from collections.abc import Iterator

BLOCK_BYTES = 1 << 20


class Piece:
    """Bytes of an open file.

    Parameters
    ----------
    descriptor : int
        Stays open as long as this is used; its own position is left alone.
    offset, size : int
    """

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self._descriptor = descriptor
        self._offset = offset
        self._size = size
        self._done = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(BLOCK_BYTES):
            yield block

    def rewind(self) -> None:
        """Begin again."""
        self._done = 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes; fewer than asked for at the end.

        Raises
        ------
        OSError
            If the file has become shorter: what was announced cannot be sent.
        """
        left = self._size - self._done
        wanted = left if size < 0 else min(size, left)
        block = os.pread(self._descriptor, wanted, self._offset + self._done) if wanted else b""
        if wanted and not block:
            raise OSError("the file became shorter while it was sent")
        self._done += len(block)
        return block
