"""Recovery: an unbroken prefix of what was logged, whatever a directory looks like."""

from __future__ import annotations

import os
import shutil
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

import pytest

from mlops_sdk.errors import StoreVersionError
from mlops_sdk.journal import reader
from mlops_sdk.journal.chain import JournalOptions
from mlops_sdk.journal.records import (
    DROP_SLOT,
    FRAME_FLAG,
    HEADER_BYTES,
    SLOT_BYTES,
    Kind,
    WriterHeader,
    encode_dropped,
    encode_header,
    encode_point,
)
from mlops_sdk.journal.writer import Journal
from tests.unit.journal.reading import logged, said, said_on_disk

SMALL = HEADER_BYTES + 16 * SLOT_BYTES
COUNT = 240


@pytest.fixture(scope="module", params=["mapped", "appended"])
def template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a writer that is gone: four segments, points with an event now and then."""
    options = JournalOptions(is_mapped=request.param == "mapped", first_bytes=SMALL)
    journal = Journal(tmp_path_factory.mktemp("template"), "run", options=options)
    journal.define("a")
    for i in range(COUNT):
        journal.point("a", i / 3, i)
        if i % 20 == 7:
            journal.event(Kind.TAGS, {"set": {"i": str(i), "text": "x" * 60}})
    journal.leave()
    assert len(segments(journal.directory)) == 4
    return journal.directory


@pytest.fixture
def left(template: Path, tmp_path: Path) -> Path:
    """A copy of the template, to be spoiled."""
    return Path(shutil.copytree(template, tmp_path / template.name))


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.seg"))


def snapshot(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def spoil(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_everything_comes_back(left: Path) -> None:
    recovered = reader.recover(left)
    found = said(recovered.batches(0))
    assert [what for what in found if what[0] == "a"] == [("a", i, i / 3) for i in range(COUNT)]
    assert len(found) == COUNT + COUNT // 20
    assert recovered.header is not None
    assert (recovered.header.run_id, recovered.header.writer_id) == ("run", left.name)
    assert (recovered.damage, recovered.dropped) == ([], 0)


def test_what_a_store_has_is_left_out(left: Path) -> None:
    everything = logged(reader.recover(left).batches(0))
    for item in everything[::7]:
        behind = logged(reader.recover(left).batches(item.sequence - 1), first=item.sequence)
        assert [each.sequence for each in behind] == [each.sequence for each in everything if each >= item]
    assert list(reader.recover(left).batches(10**6)) == []


def test_a_damaged_record_ends_the_prefix_and_is_reported_with_its_place(left: Path) -> None:
    second = segments(left)[1]
    everything = said_on_disk(left)
    spoil(second, HEADER_BYTES + 5 * SLOT_BYTES + 3, b"\xff")
    recovered = reader.recover(left)
    found = logged(recovered.batches(0))
    first = reader.recover(left).segments[1][1].first
    assert [item.what for item in found] == everything[: len(found)]
    assert found[-1].sequence < first + 5 <= found[-1].sequence + 4
    assert recovered.damage[0].path == second
    assert recovered.damage[0].what.startswith("damaged record")
    assert recovered.damage[0].lost_bytes > 0
    assert any("missing" in damage.what for damage in recovered.damage[1:])


def test_damage_before_what_the_store_has_loses_nothing(left: Path) -> None:
    """What is delivered is not needed any more, sound or not."""
    everything = logged(reader.recover(left).batches(0))
    path, header = reader.recover(left).segments[1]
    first = everything[50].sequence
    assert header.first + 1 < first < reader.recover(left).segments[2][1].first
    spoil(path, HEADER_BYTES, b"\xff" * SLOT_BYTES)
    behind = logged(reader.recover(left).batches(first - 1), first=first)
    assert [item.what[1:] for item in behind] == [item.what[1:] for item in everything[50:]]


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_missing_segment_ends_the_prefix(left: Path, gone: int) -> None:
    everything = said_on_disk(left)
    segments(left)[gone].unlink()
    recovered = reader.recover(left)
    found = said(recovered.batches(0))
    assert found == everything[: len(found)]
    assert (found == []) == (gone == 0)
    assert any("missing" in damage.what for damage in recovered.damage)


def test_a_missing_segment_that_the_store_has_is_none(left: Path) -> None:
    everything = logged(reader.recover(left).batches(0))
    second = reader.recover(left).segments[1][1].first
    segments(left)[0].unlink()
    recovered = reader.recover(left)
    found = logged(recovered.batches(second - 1), first=second)
    assert [item.what[1:] for item in found] == [item.what[1:] for item in everything if item.sequence >= second]
    assert recovered.damage == []


def test_segments_are_ordered_by_what_they_say_not_by_their_names(left: Path) -> None:
    everything = said_on_disk(left)
    paths = segments(left)
    for number, path in enumerate(reversed(paths)):
        path.rename(path.with_name(f"x{number}.seg"))
    assert said_on_disk(left) == everything


def test_a_doubled_segment_counts_once(left: Path) -> None:
    everything = said_on_disk(left)
    for path in segments(left):
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
    assert said_on_disk(left) == everything


def test_a_segment_that_was_begun_twice(left: Path) -> None:
    """Ctrl-C in a roll-over can leave a segment without records beside the one that was used."""
    everything = said_on_disk(left)
    for path, header in reader.recover(left).segments:
        empty = encode_header(header)
        path.with_name(f"0{path.name}").write_bytes(empty.ljust(SMALL, b"\0"))
        path.with_name(f"{path.stem}z.seg").write_bytes(empty)
    assert said_on_disk(left) == everything


def test_swapped_contents_change_nothing(left: Path) -> None:
    everything = said_on_disk(left)
    one, two = segments(left)[1:3]
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)
    assert said_on_disk(left) == everything


def test_a_segment_of_another_writer_is_not_mixed_in(left: Path, tmp_path: Path) -> None:
    other = Journal(tmp_path, "run", options=JournalOptions(first_bytes=SMALL))
    other.define("b")
    for i in range(200):
        other.point("b", 9.0, i)
    other.leave()
    everything = said_on_disk(left)
    shutil.copy(segments(other.directory)[1], left / "00000099.seg")
    recovered = reader.recover(left)
    assert said(recovered.batches(0)) == everything
    assert ["another writer" in damage.what for damage in recovered.damage] == [True]


def test_another_writers_records_under_our_header_never_validate(left: Path) -> None:
    """As after a recycled disk block."""
    path, header = reader.recover(left).segments[-1]
    foreign = b"".join(encode_point(1, i, i, 6.66, WriterHeader("run", "another").seed) for i in range(10))
    path.write_bytes(encode_header(header) + foreign)
    recovered = reader.recover(left)
    found = said(recovered.batches(0))
    assert all(6.66 not in what for what in found)
    assert recovered.damage[0].lost_bytes == len(foreign)


@pytest.mark.parametrize("size", [0, 1, 8, 100, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 31])
def test_a_segment_cut_short(left: Path, size: int) -> None:
    everything = said_on_disk(left)
    os.truncate(segments(left)[2], size)
    found = said_on_disk(left)
    assert found == everything[: len(found)]
    assert 0 < len(found) < COUNT


def test_a_newer_format_is_refused_by_name_and_not_touched(left: Path) -> None:
    spoil(segments(left)[1], 8, struct.pack("<I", 2))
    before = snapshot(left.parent)
    with pytest.raises(StoreVersionError, match=r"has format 2"):
        reader.recover(left)
    assert list(reader.orphans(left.parent)) == []
    assert snapshot(left.parent) == before


@pytest.mark.parametrize("length", [2**32 - 1, 2**31 - 1, 2**20, 2**20 - 20])
def test_a_huge_length_is_damage(left: Path, length: int) -> None:
    path = segments(left)[0]
    everything = said_on_disk(left)
    spoil(path, HEADER_BYTES + 5 * SLOT_BYTES, struct.pack("<IIq", FRAME_FLAG | Kind.TAGS, length, 0))
    recovered = reader.recover(left)
    assert said(recovered.batches(0)) == everything[:3]  # the key took two slots
    assert recovered.damage[0].lost_bytes > 0


def test_the_dropped_count_is_the_highest_of_all_segments(left: Path) -> None:
    one, two, *_ = segments(left)
    spoil(one, DROP_SLOT, encode_dropped(3))
    spoil(two, DROP_SLOT, encode_dropped(17))
    assert reader.recover(left).dropped == 17


def test_foreign_things_in_a_directory_are_not_opened_or_followed(left: Path, tmp_path: Path) -> None:
    everything = said_on_disk(left)
    outside = tmp_path.parent / f"{tmp_path.name} outside"
    outside.write_bytes(segments(left)[0].read_bytes())
    (left / "1link.seg").symlink_to(outside)
    (left / "2dangling.seg").symlink_to(left / "nowhere")
    (left / "3directory.seg").mkdir()
    (left / "4empty.seg").touch()
    (left / "notes.txt").write_text("hello")
    (left / ".hidden.tmp").write_bytes(b"x" * 5000)
    os.mkfifo(left / "5fifo.seg")
    with socket.socket(socket.AF_UNIX) as server:
        try:
            server.bind(str(left / "6socket.seg"))
        except OSError:  # the path is too long for a socket
            (left / "6socket.seg").touch()
        recovered = reader.recover(left)
        assert said(recovered.batches(0)) == everything
    assert sorted(damage.path.name[0] for damage in recovered.damage) == ["1", "2", "3", "4", "5", "6"]


def test_a_segment_that_goes_away_while_it_is_read_is_no_damage(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A living writer's courier has delivered and removed it."""
    first = segments(left)[0]
    second = reader.recover(left).segments[1][1].first
    open_ = os.open

    def open_late(path: str | Path, *args: int) -> int:
        if Path(path) == first:
            first.unlink(missing_ok=True)
        return open_(path, *args)

    monkeypatch.setattr(os, "open", open_late)
    recovered = reader.recover(left)
    assert recovered.damage == []
    assert logged(recovered.batches(second - 1), first=second)


def test_a_segment_that_goes_away_after_it_was_listed(left: Path) -> None:
    everything = said_on_disk(left)
    recovered = reader.recover(left)
    for path in segments(left)[1:]:
        path.unlink()
    found = said(recovered.batches(0))
    assert found == everything[: len(found)]


def test_a_disk_that_cannot_be_read_is_damage_with_its_place(left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = said_on_disk(left)
    recovered = reader.recover(left)
    broken, read = segments(left)[1], reader._read

    def refuse(path: Path, limit: int = reader.MAX_SEGMENT_BYTES) -> bytes:
        if path == broken:
            raise OSError(5, "Input/output error", str(path))
        return read(path, limit)

    monkeypatch.setattr(reader, "_read", refuse)
    found = said(recovered.batches(0))
    assert found == everything[: len(found)]
    assert found
    assert recovered.damage[0].path == broken
    assert "Input/output error" in recovered.damage[0].what


def test_more_files_than_anyone_writes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_MAX_FILES", 10)
    for number in range(50):
        (tmp_path / f"{number:08d}.seg").touch()
        (tmp_path / f"w{number}").mkdir()
    assert len(reader.recover(tmp_path).damage) <= 10
    assert len(reader.writers(tmp_path)) <= 10


# -- orphans ---------------------------------------------------------------------------------------------------------


def test_writers_are_directories_that_are_shown(left: Path) -> None:
    root = left.parent
    (root / ".hidden.tmp").mkdir()
    (root / "damaged").mkdir()
    (root / "file").touch()
    (root / "link").symlink_to(left)
    assert reader.writers(root) == [left]
    assert reader.writers(root / "nowhere") == []


def adopted(root: Path) -> reader.Orphan:
    (orphan,) = reader.orphans(root)
    return orphan


def test_an_orphan_is_adopted_by_one_and_removed(left: Path) -> None:
    orphan = adopted(left.parent)
    assert (orphan.directory, orphan.verdict, orphan.may_remove) == (left, "lost:process", True)
    assert len(said(orphan.recovered.batches(0))) == COUNT + COUNT // 20
    assert list(reader.orphans(left.parent)) == [], "held by the first"
    orphan.remove()
    orphan.close()
    orphan.close()
    assert list(left.parent.iterdir()) == []


def test_an_orphan_that_was_let_go_can_be_adopted_again(left: Path) -> None:
    adopted(left.parent).close()
    adopted(left.parent).close()


def test_a_damaged_orphan_is_set_aside_with_every_byte(left: Path) -> None:
    spoil(segments(left)[1], HEADER_BYTES + 3, b"\xff")
    before = snapshot(left)
    orphan = adopted(left.parent)
    list(orphan.recovered.batches(0))
    orphan.remove()
    orphan.close()
    assert snapshot(left.parent / "damaged" / left.name) == before
    assert list(reader.orphans(left.parent)) == []


def test_an_orphan_without_any_readable_header_is_set_aside(left: Path) -> None:
    for path in segments(left):
        spoil(path, 0, b"XXXX")
    orphan = adopted(left.parent)
    assert orphan.recovered.header is None
    assert len(orphan.recovered.damage) == 4
    orphan.remove()
    orphan.close()
    assert (left.parent / "damaged" / left.name).is_dir()


def test_one_broken_directory_does_not_hide_the_others(left: Path) -> None:
    root = left.parent
    (root / "0").mkdir()
    (root / "0" / "alive").mkdir()  # cannot be opened for writing
    found = [orphan.directory for orphan in closing(reader.orphans(root))]
    assert left in found


def closing(orphans: Iterable[reader.Orphan]) -> list[reader.Orphan]:
    found = list(orphans)
    for orphan in found:
        orphan.close()
    return found
