"""Stores: the `Store` protocol and the backends behind it."""

from mlops_sdk.stores.protocol import Blobs, Store

__all__ = ["Blobs", "Store"]
