"""Directories to log: what is listed, in which order, and what never is opened."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sdk.blobs import tree
from mlops_sdk.blobs.tree import Skipped, TreeEntry, open_regular, walk_tree
from mlops_sdk.errors import InvalidValueError

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="FIFOs, sockets and unprivileged links are POSIX"),
    pytest.mark.timeout(30),  # an open that blocks on a FIFO fails here instead of hanging
]


def make(top: Path, *names: str) -> Path:
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    return top


def names_of(top: Path) -> list[str]:
    return [item.name for item in walk_tree(top) if isinstance(item, TreeEntry)]


def skipped_of(top: Path) -> dict[str, str]:
    return {item.name: item.reason for item in walk_tree(top) if isinstance(item, Skipped)}


def entry_of(top: Path, name: str) -> TreeEntry:
    (entry,) = (item for item in walk_tree(top) if isinstance(item, TreeEntry) and item.name == name)
    return entry


def content_of(entry: TreeEntry) -> bytes:
    with entry.open() as file:
        return file.read()


@pytest.fixture(params=["relative to descriptors", "by path"])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of opening: the second is that of Windows."""
    if request.param == "by path":
        monkeypatch.setattr(tree, "_HAS_DIR_FD", False)
    else:
        assert tree._HAS_DIR_FD


# -- what is listed


@pytest.mark.usefixtures("each_way")
def test_every_file_is_listed_with_its_size_and_content(tmp_path: Path) -> None:
    names = ["a.txt", "plots/roc.png", "plots/deep/er/x", ".hidden", "plots/ü.txt", "with space"]
    entries = list(walk_tree(make(tmp_path, *names)))
    assert sorted(item.name for item in entries) == sorted(names)
    for entry in entries:
        assert isinstance(entry, TreeEntry)
        assert content_of(entry) == entry.name.encode()
        assert entry.size_bytes == len(entry.name.encode())


PARTS = st.sampled_from(["a", "b", "a-", "a.b", "a0", "A", "é", "\U00010000", "\uffff", " "])


@given(st.sets(st.lists(PARTS, min_size=1, max_size=4).map("/".join), max_size=12))
def test_the_order_is_that_of_the_bytes_of_whole_names(names: set[str]) -> None:
    files = {name for name in names if not any(other.startswith(name + "/") for other in names)}
    with tempfile.TemporaryDirectory() as directory:
        assert names_of(make(Path(directory), *files)) == sorted(files, key=lambda name: name.encode())


def test_unicode_twins_are_two_files(tmp_path: Path) -> None:
    make(tmp_path, "caf\u00e9", "cafe\u0301")
    if len(os.listdir(tmp_path)) < 2:
        pytest.skip("this file system folds Unicode forms")
    assert names_of(tmp_path) == ["cafe\u0301", "caf\u00e9"]


def test_a_root_that_is_a_link_is_walked_and_one_that_is_no_directory_refused(tmp_path: Path) -> None:
    make(tmp_path / "real", "x")
    (tmp_path / "link").symlink_to("real")
    assert names_of(tmp_path / "link") == ["x"]
    for missing in (tmp_path / "absent", tmp_path / "real" / "x"):
        with pytest.raises(InvalidValueError, match="no directory"):
            walk_tree(missing)


def test_a_hard_link_is_a_file(tmp_path: Path) -> None:
    make(tmp_path, "a")
    os.link(tmp_path / "a", tmp_path / "b")
    assert names_of(tmp_path) == ["a", "b"]


# -- links


@pytest.mark.usefixtures("each_way")
def test_links_inside_the_tree_are_followed_under_their_own_names(tmp_path: Path) -> None:
    make(tmp_path, "runs/100/model", "runs/50/model")
    (tmp_path / "best").symlink_to("runs/100")
    (tmp_path / "model").symlink_to(tmp_path / "runs" / "50" / "model")
    (tmp_path / "again").symlink_to("model")
    assert names_of(tmp_path) == ["again", "best/model", "model", "runs/100/model", "runs/50/model"]
    assert content_of(entry_of(tmp_path, "best/model")) == b"runs/100/model"
    assert content_of(entry_of(tmp_path, "again")) == b"runs/50/model"


@pytest.mark.parametrize(
    "target",
    [
        "/etc",
        "/etc/passwd",
        "../outside",
        "../outside/x",
        "inner/../../outside",
        "..",
        "/",
        "../tree2",
        "/proc/self/root/etc",
    ],
)
@pytest.mark.usefixtures("each_way")
def test_links_out_of_the_tree_are_skipped_and_said_so(tmp_path: Path, target: str) -> None:
    make(tmp_path / "outside", "x")
    make(tmp_path / "tree2", "x")  # a sibling whose path begins like the tree's
    make(tmp_path / "tree", "inner/y")
    (tmp_path / "tree" / "link").symlink_to(target)
    if not (tmp_path / "tree" / "link").exists():
        pytest.skip("the target does not exist here")
    assert names_of(tmp_path / "tree") == ["inner/y"]
    assert skipped_of(tmp_path / "tree") == {"link": "a link out of the directory"}


def test_a_link_whose_way_leads_out_and_in_again_is_judged_by_its_target(tmp_path: Path) -> None:
    make(tmp_path / "tree", "a/x")
    (tmp_path / "tree" / "link").symlink_to("../tree/a")
    assert names_of(tmp_path / "tree") == ["a/x", "link/x"]
    assert content_of(entry_of(tmp_path / "tree", "link/x")) == b"a/x"


def test_two_steps_out_of_the_tree_are_skipped(tmp_path: Path) -> None:
    make(tmp_path / "outside", "secret")
    make(tmp_path / "tree", "a/x")
    (tmp_path / "tree" / "step").symlink_to("../outside")
    (tmp_path / "tree" / "a" / "link").symlink_to("../step/secret")
    assert names_of(tmp_path / "tree") == ["a/x"]
    assert set(skipped_of(tmp_path / "tree")) == {"step", "a/link"}


def test_loops_end(tmp_path: Path) -> None:
    make(tmp_path, "a/x", "b/y")
    (tmp_path / "a" / "self").symlink_to("self")
    (tmp_path / "a" / "here").symlink_to(".")
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "a" / "to_b").symlink_to("../b")
    (tmp_path / "b" / "to_a").symlink_to("../a")
    (tmp_path / "gone").symlink_to("nothing")
    assert names_of(tmp_path) == ["a/to_b/y", "a/x", "b/to_a/x", "b/y"]
    reasons = skipped_of(tmp_path)
    assert reasons["a/here"] == reasons["a/up"] == reasons["a/to_b/to_a"] == "a link to a directory that it is in"
    assert reasons["gone"] == "a link to nothing"
    assert reasons["a/self"].startswith("a link that leads nowhere")


def test_links_that_multiply_are_bounded(tmp_path: Path) -> None:
    for level in range(30):  # 2^30 ways to the bottom
        (tmp_path / f"{level:02}").mkdir()
        (tmp_path / f"{level:02}" / "a").symlink_to(f"../{level + 1:02}")
        (tmp_path / f"{level:02}" / "b").symlink_to(f"../{level + 1:02}")
    (tmp_path / "30").mkdir()
    items = list(walk_tree(tmp_path, max_files=500))
    assert isinstance(items[-1], Skipped)
    assert "more than 500 files and directories" in items[-1].reason


# -- what is not a regular file


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            server.bind(f"/proc/self/fd/{directory}/{path.name}" if os.path.isdir("/proc/self/fd") else str(path))
        finally:
            os.close(directory)


def make_device(kind: int) -> Callable[[Path], None]:
    def make_node(path: Path) -> None:
        try:
            os.mknod(path, kind | 0o600, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("making a device takes root")

    return make_node


SPECIAL: dict[str, Callable[[Path], None]] = {
    "a FIFO": os.mkfifo,
    "a socket": make_socket,
    "a character device": make_device(stat.S_IFCHR),
    "a block device": make_device(stat.S_IFBLK),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.usefixtures("each_way")
def test_special_files_are_skipped_by_name_and_through_links(tmp_path: Path, kind: str) -> None:
    make(tmp_path, "a")
    SPECIAL[kind](tmp_path / "special")
    (tmp_path / "link").symlink_to("special")
    assert names_of(tmp_path) == ["a"]
    assert skipped_of(tmp_path) == {"special": kind, "link": kind}


@pytest.mark.parametrize("kind", SPECIAL)
def test_open_regular_says_what_a_special_file_is(tmp_path: Path, kind: str) -> None:
    SPECIAL[kind](tmp_path / "special")
    (tmp_path / "link").symlink_to("special")
    for name in ("special", "link"):
        with pytest.raises(InvalidValueError, match=f"is {kind}, not a regular file"):
            open_regular(tmp_path / name)


def test_open_regular_refuses_what_is_not_there_or_no_path(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="is a directory"):
        open_regular(tmp_path)
    with pytest.raises(InvalidValueError, match="there is no file"):
        open_regular(tmp_path / "absent")
    with pytest.raises(InvalidValueError, match="is no path"):
        open_regular("a\0b")
    make(tmp_path, "file")
    with pytest.raises(InvalidValueError, match="cannot be read: Not a directory"):
        open_regular(tmp_path / "file" / "below")


def test_open_regular_follows_the_link_that_was_named(tmp_path: Path) -> None:
    make(tmp_path, "outside")
    (tmp_path / "link").symlink_to("outside")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"outside"
        assert os.get_blocking(file.fileno())


def test_a_fifo_swapped_in_after_the_look_neither_hangs_nor_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = make(tmp_path, "file") / "file"
    real_open = os.open

    def swap_then_open(path: str, flags: int) -> int:
        target.unlink()
        os.mkfifo(target)
        return real_open(path, flags)

    monkeypatch.setattr(os, "open", swap_then_open)
    with pytest.raises(InvalidValueError, match="is a FIFO"):
        open_regular(target)


# -- races between the walk and the open


def swap_file_for_link(tree: Path) -> None:
    (tree / "a" / "x").unlink()
    (tree / "a" / "x").symlink_to(tree.parent / "secret" / "x")


def swap_directory_for_link(tree: Path) -> None:
    (tree / "a").rename(tree / "old")
    (tree / "a").symlink_to(tree.parent / "secret")


def swap_file_for_fifo(tree: Path) -> None:
    (tree / "a" / "x").unlink()
    os.mkfifo(tree / "a" / "x")


def swap_file_for_socket(tree: Path) -> None:
    (tree / "a" / "x").unlink()
    make_socket(tree / "a" / "x")


def swap_file_for_directory(tree: Path) -> None:
    (tree / "a" / "x").unlink()
    (tree / "a" / "x").mkdir()


def remove_directory(tree: Path) -> None:
    (tree / "a").rename(tree.parent / "elsewhere")


@pytest.mark.parametrize(
    "swap",
    [
        swap_file_for_link,
        swap_directory_for_link,
        swap_file_for_fifo,
        swap_file_for_socket,
        swap_file_for_directory,
        remove_directory,
    ],
)
@pytest.mark.usefixtures("each_way")
def test_what_is_swapped_after_the_walk_is_refused_at_the_open(tmp_path: Path, swap: Callable[[Path], None]) -> None:
    make(tmp_path / "secret", "x")
    entry = entry_of(make(tmp_path / "tree", "a/x"), "a/x")
    swap(tmp_path / "tree")
    with pytest.raises(InvalidValueError):
        entry.open()
    assert_no_descriptor_leads_to(tmp_path)


@pytest.mark.usefixtures("each_way")
def test_a_directory_swapped_for_a_link_during_the_walk_is_skipped(tmp_path: Path) -> None:
    make(tmp_path / "secret", "x")
    walk = walk_tree(make(tmp_path / "tree", "a/x", "b/x"))
    assert next(walk) == entry_of(tmp_path / "tree", "a/x")
    (tmp_path / "tree" / "b").rename(tmp_path / "tree" / "c")
    (tmp_path / "tree" / "b").symlink_to(tmp_path / "secret")
    (rest,) = walk
    assert isinstance(rest, Skipped)
    assert rest.name == "b"
    assert rest.reason.startswith("a directory that cannot be read")


def assert_no_descriptor_leads_to(directory: Path) -> None:
    descriptors = Path("/proc/self/fd")
    if descriptors.exists():
        ends = [os.readlink(path) for path in descriptors.iterdir() if path.is_symlink()]
        assert not [end for end in ends if end.startswith(str(directory))]


# -- bounds


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A directory 5,000 levels deep: its path is longer than any system call takes."""
    top = tmp_path / "deep"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(5000):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    yield top
    while (top / "d" / "d").exists():  # rmtree of this Python recurses
        (top / "d" / "d").rename(top / "e")
        (top / "d").rmdir()
        (top / "e").rename(top / "d")
    (top / "d").rmdir()


def test_a_path_of_5000_levels_is_reported_not_followed(deep: Path) -> None:
    make(deep, "z")
    skipped, entry = walk_tree(deep)
    assert isinstance(entry, TreeEntry)
    assert content_of(entry) == b"z"
    assert isinstance(skipped, Skipped)
    assert len(skipped.name.split("/")) == 513
    assert "at most 1,024" in skipped.reason


def test_a_large_directory_is_cut_with_a_word(tmp_path: Path) -> None:
    make(tmp_path, "a/1", "a/2", "b/1", "b/2", "c")
    everything = list(walk_tree(tmp_path))
    assert list(walk_tree(tmp_path, max_files=7)) == everything  # five files, two directories
    *cut, last = walk_tree(tmp_path, max_files=5)
    assert cut == everything[:3]  # a, a/1, a/2, b, b/1 were looked at
    assert isinstance(last, Skipped)
    assert last.name == "b/2"
    (only,) = walk_tree(tmp_path, max_files=2)
    assert only == Skipped(".", "a directory of more than 2 entries")


def test_names_that_are_not_unicode_are_skipped_in_printable_form(tmp_path: Path) -> None:
    try:
        with open(os.fsencode(tmp_path) + b"/bad\xff", "wb"):
            pass
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    (skipped,) = walk_tree(tmp_path)
    assert isinstance(skipped, Skipped)
    assert skipped.name.encode() == b"bad\\udcff"
    assert "surrogate" in skipped.reason


def test_an_unreadable_directory_is_skipped(tmp_path: Path) -> None:
    make(tmp_path, "closed/x", "open/x")
    (tmp_path / "closed").chmod(0)
    try:
        if os.access(tmp_path / "closed", os.R_OK):
            pytest.skip("root reads everything")
        assert names_of(tmp_path) == ["open/x"]
        assert skipped_of(tmp_path) == {"closed": "a directory that cannot be read: Permission denied"}
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_an_entry_opens_for_binary_reading(tmp_path: Path) -> None:
    entry = entry_of(make(tmp_path, "x"), "x")
    file: BinaryIO = entry.open()
    with file:
        assert file.readable()
        assert not file.writable()
        assert not os.get_inheritable(file.fileno())
