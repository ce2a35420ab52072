"""A bar for work that takes a while."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LONG_BYTES = 512 << 20


@contextmanager
def shown(name: str, n_bytes: int, wanted: bool | None) -> Iterator[Callable[[int], None] | None]:
    """A counter of rows on standard error.

    Parameters
    ----------
    name : str
        Of what is read.
    n_bytes : int
        Its size: without a wish it is shown for more than half a gigabyte, on a terminal.
    wanted : bool or None

    Yields
    ------
    callable or None
        Takes how many rows more were seen.
    """
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    if wanted is False or (wanted is None and not (is_terminal and n_bytes > _LONG_BYTES)):
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,.0f} rows"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name.replace("[", "\\["), total=None)
        yield lambda n: progress.advance(task, n)
