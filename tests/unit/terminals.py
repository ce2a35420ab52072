"""What a program writes to a terminal."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence

HAS_TERMINALS = hasattr(os, "openpty")


def shown_on_a_terminal(command: Sequence[str], *, timeout_s: float = 30.0) -> str:
    """All that a program wrote to a terminal of 100 columns until it ended, well.

    Parameters
    ----------
    command : sequence of str
    timeout_s : float
    """
    ours, theirs = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    child = subprocess.Popen(list(command), stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown, deadline = b"", time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert child.wait(timeout_s) == 0
    return shown.decode()
