"""Around a fork the floors are called in their order, whatever was imported first."""

from __future__ import annotations

import os

import pytest

from mlops_sdk import _forking


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_upper_floors_stop_first_and_lower_ones_go_on_first(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(_forking, "_watched", [])
    for name in ("STORES", "COURIER", "JOURNAL"):  # not the order of the floors
        _forking.watch(
            getattr(_forking, name),
            before=lambda name=name: called.append(f"before {name}"),  # type: ignore[misc]
            after_in_parent=lambda name=name: called.append(f"parent {name}"),  # type: ignore[misc]
        )
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert called == [
        "before COURIER",
        "before STORES",
        "before JOURNAL",
        "parent JOURNAL",
        "parent STORES",
        "parent COURIER",
    ]
