"""Random states are as they were: what the tracker predicts must not shift the user's numbers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def untouched(estimator: Any) -> Iterator[None]:
    """Put every random state that the block may have moved back: the global ones, and those among the params."""
    import numpy as np

    standing = random.getstate()
    global_state = np.random.get_state(legacy=False)  # noqa: NPY002 - the global state is the subject
    sources = [(source, _state_of(source)) for source in _sources(estimator, set())]
    try:
        yield
    finally:
        random.setstate(standing)
        np.random.set_state(global_state)  # noqa: NPY002
        for source, state in sources:
            _put_back(source, state)


def _sources(value: Any, seen: set[int]) -> list[Any]:
    """Generators among the params and the fitted attributes of an estimator and its parts."""
    import numpy as np

    if isinstance(value, (np.random.RandomState, np.random.Generator)):
        return [value]
    if id(value) in seen or len(seen) > 1000:
        return []
    seen.add(id(value))
    if isinstance(value, (list, tuple)):
        return [source for item in value[:100] for source in _sources(item, seen)]
    if hasattr(type(value), "get_params") and hasattr(value, "__dict__"):
        return [source for item in list(vars(value).values()) for source in _sources(item, seen)]
    return []


def _state_of(source: Any) -> Any:
    import numpy as np

    return source.get_state() if isinstance(source, np.random.RandomState) else source.bit_generator.state


def _put_back(source: Any, state: Any) -> None:
    import numpy as np

    if isinstance(source, np.random.RandomState):
        source.set_state(state)
    else:
        source.bit_generator.state = state
