"""What is done around a fork, in the order of the floors.

Before a fork the upper floors stop first: the courier must be at rest before the connections it uses are closed. In parent
and child the lower floors go first. `os.register_at_fork` alone would call them by the accident of import order.
"""

from __future__ import annotations

import os
from collections.abc import Callable

JOURNAL, STORES, COURIER, RUN = range(4)

_Hook = Callable[[], object]
_watched: list[tuple[int, _Hook | None, _Hook | None, _Hook | None]] = []


def watch(
    floor: int,
    *,
    before: _Hook | None = None,
    after_in_parent: _Hook | None = None,
    after_in_child: _Hook | None = None,
) -> None:
    """Have functions called around every fork of this process from now on; they must not raise.

    Parameters
    ----------
    floor : int
        `JOURNAL`, `STORES`, `COURIER` or `RUN`.
    """
    _watched.append((floor, before, after_in_parent, after_in_child))
    _watched.sort(key=lambda each: each[0])


def _before() -> None:
    _call([each[1] for each in reversed(_watched)])


def _after_in_parent() -> None:
    _call([each[2] for each in _watched])


def _after_in_child() -> None:
    _call([each[3] for each in _watched])


def _call(hooks: list[_Hook | None]) -> None:
    for hook in hooks:
        if hook is not None:
            hook()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
