"""Where the random generators stand when a run starts.

The states are taken on the calling thread, before the training draws from them; what is costly, their digests, can wait
for the background.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from mlops_sdk.capture.record import Record

_TAKERS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("random_sha256", "random", lambda random: random.getstate()),
    ("numpy_sha256", "numpy.random", lambda numpy_random: numpy_random.get_state(legacy=True)),
    ("torch_initial_seed", "torch", lambda torch: torch.initial_seed()),
)

States = dict[str, Callable[[], Any]]
"""By key, a function that gives the state as it was taken, or raises what taking it raised."""


def take_states() -> States:
    """Copy the states of the generators that are loaded; microseconds, imports nothing, draws nothing, never raises."""
    return {key: _taken(take, sys.modules[module]) for key, module, take in _TAKERS if sys.modules.get(module)}


def _taken(take: Callable[[Any], Any], library: Any) -> Callable[[], Any]:
    try:
        state = take(library)
    except Exception as error:  # noqa: BLE001 - a library half imported, or replaced: said in the record
        failure = error

        def fail() -> Any:
            raise failure

        return fail
    return lambda: state


def capture_seeds(states: States | None = None) -> dict[str, Any]:
    """Where the random generators stand, or stood when `states` was taken.

    Returns
    -------
    dict
        ``python_hash_seed`` (``PYTHONHASHSEED``, None when unset), and only where the library is imported already:
        ``random_sha256`` (of the state of `random`), ``numpy_sha256`` (of numpy's global generator),
        ``torch_initial_seed`` (int). Digests in lower-case hex: equal digests, equal numbers to come. ``errors`` only
        where something failed.

    Notes
    -----
    Never raises, imports none of these libraries, draws nothing: the generators stand where they stood.
    """
    record = Record()
    record.add("python_hash_seed", lambda: os.environ.get("PYTHONHASHSEED"))
    for key, state in (take_states() if states is None else states).items():
        record.add(key, lambda key=key, state=state: _described(key, state()))  # type: ignore[misc]
    return record.to_dict()


def _described(key: str, state: Any) -> Any:
    if key == "torch_initial_seed":
        return int(state)
    if key == "numpy_sha256":
        name, keys, *rest = state
        state = [str(name), [int(each) for each in keys], *map(float, rest)]
    return _digest(state)


def _digest(value: Any) -> str:
    import hashlib
    import json

    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
