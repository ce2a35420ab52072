"""Blobs: bytes under their digest."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlops_sdk.errors import IntegrityError
from mlops_sdk.testing.contract.base import StoreCase

if TYPE_CHECKING:
    from mlops_sdk.stores.protocol import Store

DATA = bytes(range(256)) * 100


class BlobKeeping(StoreCase):
    """What `Store.blobs` owes."""

    @pytest.mark.parametrize("data", [b"", b"\0", DATA, b"text\r\n"], ids=["empty", "nul", "binary", "text"])
    def test_bytes_come_back_under_their_digest(self, store: Store, data: bytes) -> None:
        digest = hashlib.sha256(data).hexdigest()
        assert not store.blobs.has(digest)
        blob = store.blobs.put_bytes(data)
        assert (blob.sha256, blob.size_bytes, blob.is_new) == (digest, len(data), True)
        assert store.blobs.has(digest)
        assert store.blobs.path(digest).read_bytes() == store.blobs.path(digest, verify=False).read_bytes() == data
        with store.blobs.open(digest) as stream:
            assert stream.read() == data

    def test_equal_bytes_are_kept_once(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(DATA)
        blobs = [store.blobs.put_bytes(DATA), store.blobs.put_file(tmp_path / "file"), store.blobs.put_bytes(DATA)]
        assert [blob.is_new for blob in blobs] == [True, False, False]
        assert list(store.blobs.digests()) == [blobs[0].sha256]

    def test_a_file_is_copied(self, store: Store, tmp_path: Path) -> None:
        file = tmp_path / "\u635f\u5931 file"
        file.write_bytes(DATA)
        blob = store.blobs.put_file(file)
        file.write_bytes(b"changed since")
        assert store.blobs.put_file(str(file)).is_new
        file.unlink()
        assert (blob.sha256, blob.size_bytes) == (hashlib.sha256(DATA).hexdigest(), len(DATA))
        assert store.blobs.path(blob.sha256).read_bytes() == DATA

    def test_an_open_file_is_copied_from_its_beginning(self, store: Store, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(DATA)
        with (tmp_path / "file").open("rb") as source:
            source.read(100)
            blob = store.blobs.put_open(source)
        assert (blob.sha256, blob.size_bytes, blob.is_new) == (hashlib.sha256(DATA).hexdigest(), len(DATA), True)
        assert store.blobs.path(blob.sha256).read_bytes() == DATA

    def test_a_view_of_memory_is_copied(self, store: Store) -> None:
        data = bytearray(DATA)
        blob = store.blobs.put_bytes(memoryview(data)[10:20])
        data[:] = bytes(len(data))
        assert store.blobs.path(blob.sha256).read_bytes() == DATA[10:20]

    def test_what_path_gives_is_read_only(self, store: Store) -> None:
        path = store.blobs.path(store.blobs.put_bytes(DATA).sha256)
        assert path.is_file()
        assert not path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)

    def test_digests_are_all_there_is(self, store: Store) -> None:
        assert list(store.blobs.digests()) == []
        kept = {store.blobs.put_bytes(bytes([number])).sha256 for number in range(20)}
        assert sorted(store.blobs.digests()) == sorted(kept)

    def test_removing_frees_the_bytes(self, store: Store) -> None:
        gone, kept = store.blobs.put_bytes(DATA), store.blobs.put_bytes(b"kept")
        store.blobs.path(gone.sha256)
        assert store.blobs.remove(gone.sha256) == len(DATA)
        assert not store.blobs.has(gone.sha256)
        assert list(store.blobs.digests()) == [kept.sha256]
        assert store.blobs.remove(gone.sha256) == 0
        assert store.blobs.put_bytes(DATA).is_new
        assert store.blobs.path(gone.sha256).read_bytes() == DATA

    def test_damage_is_noticed_when_bytes_are_read(self, store: Store) -> None:
        if not self.detects_blob_damage:
            pytest.skip("damage cannot be done to this store's blobs")
        blob, other = store.blobs.put_bytes(DATA), store.blobs.put_bytes(b"sound")
        self.damage_blob(store, blob.sha256)
        with pytest.raises(IntegrityError) as caught:
            store.blobs.path(blob.sha256)
        assert (caught.value.expected, caught.value.found != blob.sha256) == (blob.sha256, True)
        assert store.blobs.path(other.sha256).read_bytes() == b"sound"
