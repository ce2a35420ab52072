"""What a store is tested with: the contract suite, a state machine, and scripts that write batches as a writer would.

::

    from mlops_sdk.testing import StoreContract, StoreMachine, programs


    class TestMyStore(StoreContract):
        def open_store(self, tmp_path):
            return MyStore(tmp_path)


    class MyStoreMachine(StoreMachine):
        def open_store(self, tmp_path):
            return MyStore(tmp_path)


    TestMyStorePrograms = programs(MyStoreMachine)

`StoreContract` needs pytest, `StoreMachine` pytest and hypothesis; both are imported when first asked for.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from mlops_sdk.testing.batches import Clock, WriterScript
from mlops_sdk.testing.observing import differences, observe

if TYPE_CHECKING:
    from mlops_sdk.testing.contract import StoreContract
    from mlops_sdk.testing.stateful import StoreMachine, programs

__all__ = ["Clock", "StoreContract", "StoreMachine", "WriterScript", "differences", "observe", "programs"]

_LATER = {"StoreContract": "contract", "StoreMachine": "stateful", "programs": "stateful"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest

    module = f"{__name__}.{_LATER[name]}"
    if module not in sys.modules:  # else it is too late, and pytest warns
        pytest.register_assert_rewrite(module)
    return getattr(importlib.import_module(module), name)
