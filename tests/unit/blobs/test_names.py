"""Artifact names: what may be one, and what may become a file."""

from __future__ import annotations

import os
import subprocess
import sys
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sdk.blobs.names import MAX_NAME_BYTES, check_artifact_name, safe_target
from mlops_sdk.errors import InvalidValueError

OPAQUE = [
    *["../x", "..\\x", "/etc/passwd", "C:\\x", "C:x", "\\\\h\\s", "//h/s", "file:///", "~root", ".", "..", " "],
    *[
        "a/../../b",
        "....//",
        "x" * 300,
        "%2e%2e%2f",
        "%252e%252e%252f",
        "%c0%ae%c0%ae/",
        "%00",
        ";",
        "?",
        "#",
        "a\r\nb",
    ],
    *["gpj.\u202eexe", "．．／x", "a\u200bb", "\U0001f600", "CON", "aux.txt", "x.", "x ", "a" * MAX_NAME_BYTES],
]
UNUSABLE = ["", "\0", "a\0b", "\ud800", "x\udfff", "a" * (MAX_NAME_BYTES + 1), "é" * 513, "a/" * 5000, "x" * 10_000_000]

REFUSED = [
    *[
        "../x",
        "..",
        ".",
        "a/../b",
        "a/..",
        "./a",
        "/etc/passwd",
        "//h/s",
        "a//b",
        "a/",
        "....//",
        "a/../../b",
        "file:///",
    ],
    *["..\\x", "C:\\x", "C:x", "c:", "a/C:x", "\\\\h\\s", "a\\..\\b"],
    *["CON", "con", "aux.txt", "a/NUL", "nul .txt", "COM1", "lpt9.log", "COM\u00b2", "CONIN$", "PRN:stream"],
    *["x.", "x ", "a /b", "a./b", " ", "...", "a/. ."],
    *["a\nb", "a\rb", "\x1b[31m", "\x7f", "a\u0085b", "gpj.\u202eexe", "a\u2028b", "\u2066x"],
    *["x" * 256, "a/" + "é" * 128, "dir/" + "\U0001f600" * 64],
]
ACCEPTED = [
    *["a", "a/b/c.txt", ".hidden", "..a", "a..b", "~root", "%2e%2e%2fx", "%00", "#;?"[:2], "x" * 255, "é" * 127],
    *[
        "console.txt",
        "auxiliary",
        "com10",
        "NULL",
        "．．／x",
        "a\u200bb",
        "\U0001f600.png",
        " leading",
        "café",
        "cafe\u0301",
    ],
]


@pytest.mark.parametrize("name", OPAQUE, ids=ascii)
def test_any_text_is_an_opaque_name_and_comes_back_unchanged(name: str) -> None:
    assert check_artifact_name(name) == name


@pytest.mark.parametrize("name", UNUSABLE, ids=lambda name: ascii(name[:20]))
def test_a_name_that_no_store_can_keep_is_refused_in_a_short_text(name: str) -> None:
    with pytest.raises(InvalidValueError) as refusal:
        check_artifact_name(name)
    assert len(str(refusal.value)) < 300
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("name", [None, 3, b"bytes", ["x"]])
def test_only_text_is_a_name(name: object) -> None:
    with pytest.raises(InvalidValueError, match="is text"):
        check_artifact_name(name)  # type: ignore[arg-type]


def test_a_path_becomes_a_name_with_forward_slashes() -> None:
    assert check_artifact_name(PureWindowsPath("plots\\roc.png")) == "plots/roc.png"
    assert check_artifact_name(PurePosixPath("plots/a\\b")) == "plots/a\\b"


def test_characters_of_every_unicode_block_are_kept() -> None:
    for code in range(0x10, 0x110000, 0x10):  # blocks are multiples of 16 long and so aligned
        name = f"x{chr(code)}y"
        if 0xD800 <= code <= 0xDFFF:
            with pytest.raises(InvalidValueError):
                check_artifact_name(name)
        else:
            assert check_artifact_name(name) == name


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=256))
def test_unicode_twins_stay_distinct(name: str) -> None:
    twins = {unicodedata.normalize(form, name) for form in ("NFC", "NFD", "NFKC", "NFKD")} | {name}
    fitting = {twin for twin in twins if len(twin.encode()) <= MAX_NAME_BYTES}
    assert {check_artifact_name(twin) for twin in fitting} == fitting


@pytest.mark.parametrize("name", REFUSED, ids=ascii)
def test_a_name_that_could_leave_the_directory_or_trick_a_platform_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidValueError) as refusal:
        safe_target(tmp_path, name)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("name", UNUSABLE[:-1], ids=lambda name: ascii(name[:20]))
def test_what_is_no_name_is_no_target(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidValueError):
        safe_target(tmp_path, name)


@pytest.mark.parametrize("name", ACCEPTED, ids=ascii)
def test_a_harmless_name_becomes_that_file(tmp_path: Path, name: str) -> None:
    target = safe_target(tmp_path, name)
    assert target == tmp_path / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"content")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [target]


HOSTILE_PART = st.sampled_from(["..", ".", "", "a", "CON", "C:", "\\", "x ", "b.txt", "\u202e", "~", "%2e", "a" * 255])


@given(st.lists(HOSTILE_PART | st.text(max_size=3), min_size=1, max_size=4).map("/".join))
def test_an_accepted_name_lies_inside_and_names_one_file(name: str) -> None:
    directory = Path("/nowhere/downloads")
    try:
        target = safe_target(directory, name)
    except InvalidValueError:
        return
    assert Path(os.path.normpath(target)) == target
    assert os.path.commonpath([directory, os.path.abspath(target)]) == str(directory)
    assert target.relative_to(directory).as_posix() == name  # so that no two names share a target


def test_twins_get_targets_of_their_own(tmp_path: Path) -> None:
    assert safe_target(tmp_path, "caf\u00e9") != safe_target(tmp_path, "cafe\u0301")


@pytest.mark.parametrize("name", ["link", "link/x", "a/link", "a/link/x/y", "dangling", "dangling/x"])
def test_a_link_on_the_way_is_refused(tmp_path: Path, name: str) -> None:
    outside, directory = tmp_path / "outside", tmp_path / "downloads"
    outside.mkdir()
    (directory / "a").mkdir(parents=True)
    (directory / "link").symlink_to(outside)
    (directory / "a" / "link").symlink_to(directory)  # inside too: the check is one of links, not of where they lead
    (directory / "dangling").symlink_to(outside / "absent")
    with pytest.raises(InvalidValueError, match="is a link there already"):
        safe_target(directory, name)


def test_the_directory_itself_may_be_a_link_or_not_exist_yet(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert safe_target(tmp_path / "link", "a/b") == tmp_path / "link" / "a" / "b"
    assert safe_target(tmp_path / "absent", "a/b") == tmp_path / "absent" / "a" / "b"
    assert not (tmp_path / "absent").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this platform has no FIFOs")
def test_an_existing_file_may_be_replaced_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    assert safe_target(tmp_path, "file") == tmp_path / "file"
    for name, kind in [("directory", "a directory"), ("fifo", "a FIFO"), ("file/below", "a regular file")]:
        with pytest.raises(InvalidValueError, match=kind):
            safe_target(tmp_path, name)


AUDITED = """
import os, sys
from pathlib import Path
seen = []
sys.addaudithook(lambda event, args: seen.append((event, repr(args))))
# os.stat and os.lstat raise no audit event
for name in ("stat", "lstat"):
    def recorded(path, *args, _call=getattr(os, name), _name=name, **kwargs):
        seen.append((_name, repr(path)))
        return _call(path, *args, **kwargs)
    setattr(os, name, recorded)

from mlops_sdk.blobs.local import LocalBlobs
from mlops_sdk.blobs.media import guess_media_type
from mlops_sdk.blobs.names import check_artifact_name, safe_target
from mlops_sdk.blobs.progress import transfer_progress
from mlops_sdk.errors import InvalidValueError

root, names = Path(sys.argv[1]), [line.encode().decode("unicode_escape") for line in sys.stdin.read().split("\\n")]
guess_media_type("x.csv"), transfer_progress(1, "x")  # what these import at first, they import here
seen.clear()
blobs = LocalBlobs(root / "blobs")
for name in names:
    try:
        check_artifact_name(name)
    except InvalidValueError:
        pass
    guess_media_type(name)
    with transfer_progress(1 << 30, name) as progress:
        progress.update(1)
    blobs.read_bytes(blobs.put_bytes(name.encode("utf-8", "replace")).sha256)
    try:
        blobs.has(name)
    except InvalidValueError:
        pass
    try:
        safe_target(root, name)
    except InvalidValueError:
        pass
    else:
        raise SystemExit(f"accepted {name!r}")
used = [(event, text) for event, text in seen if "MARK" in text]
opened = sum(event == "open" for event, _ in seen)
print(len(used), opened, used[:5])
"""


def test_no_file_system_call_ever_contains_a_hostile_name(tmp_path: Path) -> None:
    hostile = [name.replace("x", "MARK").replace("a", "MARK") + "/../MARK" for name in OPAQUE + UNUSABLE[1:7]]
    lines = "\n".join(name.encode("unicode_escape").decode() for name in hostile)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", AUDITED, str(tmp_path)],
        input=lines,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    n_used, n_opened, sample = done.stdout.split(maxsplit=2)
    assert int(n_opened) >= len(hostile)  # the hook does see our own calls
    assert int(n_used) == 0, sample
