"""The contract suite: what `mlops_sdk.stores.protocol` says, one test a sentence."""

from __future__ import annotations

from mlops_sdk.testing.contract.appending import Appending
from mlops_sdk.testing.contract.attempts import Attempts
from mlops_sdk.testing.contract.base import StoreCase
from mlops_sdk.testing.contract.blobs import BlobKeeping
from mlops_sdk.testing.contract.concurrency import Concurrency
from mlops_sdk.testing.contract.details import Details
from mlops_sdk.testing.contract.endings import Endings
from mlops_sdk.testing.contract.finding import Finding
from mlops_sdk.testing.contract.metrics import Metrics
from mlops_sdk.testing.contract.runs import Runs
from mlops_sdk.testing.contract.searching import Searching

__all__ = ["StoreCase", "StoreContract"]


class StoreContract(Appending, Runs, Endings, Details, Metrics, Attempts, Finding, Searching, BlobKeeping, Concurrency):
    """Every obligation of a `Store`; subclass it as ``TestMyStore`` and define `open_store`.

    Attributes
    ----------
    survives_reopen, detects_blob_damage : bool
        What the store can do; see `StoreCase`.

    Notes
    -----
    Needs pytest. Tests are independent of each other and of their order, need no network and sleep for nothing.

    Examples
    --------
    ::

        class TestMyStore(StoreContract):
            def open_store(self, tmp_path):
                return MyStore(tmp_path)
    """
