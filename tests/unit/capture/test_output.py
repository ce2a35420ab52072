from __future__ import annotations

import contextlib
import io
import itertools
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sdk.capture.output import OutputTail, collapse_overwritten

Streams = tuple[io.StringIO, io.StringIO]


@pytest.fixture
def own_streams(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Streams]:
    """Puts streams of the test's own in place when it is called: between fixture and test pytest changes them."""

    def put() -> Streams:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        return out, err

    return put


@contextlib.contextmanager
def installed(limit_bytes: int = 65536) -> Iterator[OutputTail]:
    tail = OutputTail(limit_bytes)
    tail.install()
    try:
        yield tail
    finally:
        tail.uninstall()


# --- passing on ------------------------------------------------------------------------------------------------------


def test_what_is_printed_is_passed_on_and_kept(own_streams: Callable[[], Streams]) -> None:
    out, err = streams = own_streams()
    with installed() as tail:
        print("a", 1)
        print("trouble", file=sys.stderr)
        sys.stdout.writelines(["b\n", "c\n"])
        assert sys.stdout.write("d\n") == 2
    print("later")
    assert out.getvalue() == "a 1\nb\nc\nd\nlater\n"
    assert err.getvalue() == "trouble\n"
    assert tail.text() == "a 1\ntrouble\nb\nc\nd\n"
    assert (sys.stdout, sys.stderr) == streams


def test_the_wrapper_passes_for_the_stream() -> None:
    raw = io.BytesIO()
    with contextlib.redirect_stdout(io.TextIOWrapper(raw, encoding="utf-8", newline="\n")), installed() as tail:
        stream = sys.stdout
        assert isinstance(stream, io.TextIOWrapper)
        assert stream.encoding == "utf-8"
        assert not stream.isatty()
        stream.reconfigure(line_buffering=True)
        assert stream.line_buffering
        stream.mode = "w"  # type: ignore[misc]
        assert "reconfigure" in dir(stream)
        with pytest.raises(AttributeError, match="nonsense"):
            stream.nonsense  # type: ignore[attr-defined]  # noqa: B018
        print("é")
        stream.buffer.write(b"past us\n")
        stream.flush()
        inner = stream._stream  # type: ignore[attr-defined]
        assert inner.mode == "w"
    assert raw.getvalue() == "é\npast us\n".encode()
    assert tail.text() == "é\n"


def test_errors_of_the_stream_reach_the_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(text)

    monkeypatch.setattr(sys, "stdout", Broken())
    with installed() as tail:
        with pytest.raises(BrokenPipeError):
            print("gone")
        with pytest.raises(TypeError):
            sys.stderr.write(b"bytes")  # type: ignore[arg-type]
    assert tail.text() == ""


def test_errors_of_ours_do_not(own_streams: Callable[[], Streams], monkeypatch: pytest.MonkeyPatch) -> None:
    streams = own_streams()

    def refuse(tail: OutputTail) -> None:
        raise MemoryError

    monkeypatch.setattr(OutputTail, "_compact", refuse)
    with installed():
        print("x" * 10_000)
    assert len(streams[0].getvalue()) == 10_001


def test_a_program_without_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with installed() as tail:
        print("nobody hears")
    assert tail.text() == ""
    assert sys.stdout is None


# --- streams that others replace -------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_nested_tails_end_in_any_order(order: tuple[int, ...], own_streams: Callable[[], Streams]) -> None:
    streams = own_streams()
    tails = [OutputTail() for _ in range(3)]
    expected = ["", "", ""]
    for tail in tails:
        tail.install()
    for number, ended in enumerate(order):
        print(number)
        for at in order[number:]:
            expected[at] += f"{number}\n"
        tails[ended].uninstall()
    print("end")
    assert [tail.text() for tail in tails] == expected
    assert streams[0].getvalue() == "0\n1\n2\nend\n"
    assert (sys.stdout, sys.stderr) == streams


def test_runs_that_overlap_for_ever_pile_nothing_up(own_streams: Callable[[], Streams]) -> None:
    streams = own_streams()
    tail = OutputTail()
    tail.install()
    for _ in range(3000):
        following = OutputTail()
        following.install()
        tail.uninstall()
        tail = following
    print("no RecursionError")
    tail.uninstall()
    assert sys.stdout is streams[0]


def test_a_stream_put_over_ours_stays(own_streams: Callable[[], Streams]) -> None:
    streams = own_streams()
    tail = OutputTail()
    tail.install()
    theirs = io.StringIO()
    with contextlib.redirect_stdout(theirs):
        print("to them")
        tail.uninstall()
        assert sys.stdout is theirs
        print("still to them")
    print("through what is left of ours")
    assert theirs.getvalue() == "to them\nstill to them\n"
    assert streams[0].getvalue() == "through what is left of ours\n"
    assert tail.text() == ""


def test_installing_twice_is_once(own_streams: Callable[[], Streams]) -> None:
    streams = own_streams()
    with installed() as tail:
        tail.install()
        print("once")
    assert tail.text() == "once\n"
    assert sys.stdout is streams[0]
    tail.uninstall()
    with installed():
        pass
    assert sys.stdout is streams[0]


def test_it_can_be_installed_again(own_streams: Callable[[], Streams]) -> None:
    own_streams()
    tail = OutputTail()
    for word in ("one", "two"):
        tail.install()
        print(word)
        tail.uninstall()
    assert tail.text() == "one\ntwo\n"


# --- what is kept ----------------------------------------------------------------------------------------------------


def test_secrets_are_not_in_the_text() -> None:
    tail = OutputTail()
    for piece in ("export WANDB_API", "_KEY=abc123\n", "\x1b[33mtoken\x1b[0m=\x1b[32m'abc123'\x1b[0m\n"):
        tail.add(piece)
    assert tail.text() == "export WANDB_API_KEY=***\ntoken='***'\n"


@pytest.mark.parametrize(
    "raw, shown",
    [
        ("10%\r50%\r100%\n", "100%\n"),
        ("\r 1/3\r 2/3\r 3/3\ndone", " 3/3\ndone"),
        ("windows\r\nlines\r\n", "windows\nlines\n"),
        ("unfinished 1\runfinished 2\r", "unfinished 2\r"),
        ("a\r\r\n", "a\n"),
        ("\r", "\r"),
        ("", ""),
    ],
)
def test_overwritten_lines_collapse(raw: str, shown: str) -> None:
    assert collapse_overwritten(raw) == shown


@given(st.text(alphabet="ab\r\n", max_size=30), st.integers(0, 30))
def test_collapsing_in_parts_is_collapsing_at_once(text: str, at: int) -> None:
    parts = collapse_overwritten(collapse_overwritten(text[:at]) + text[at:])
    assert parts == collapse_overwritten(text)


def test_a_progress_bar_does_not_push_the_rest_out() -> None:
    tail = OutputTail(limit_bytes=2000)
    tail.add("epoch 1\n")
    for number in range(20_000):
        tail.add(f"\r{number:6d}/20000 [#########]")
    tail.add("\nepoch 2\n")
    assert tail.text() == "epoch 1\n 19999/20000 [#########]\nepoch 2\n"


def test_the_last_lines_are_kept_whole_and_memory_is_bounded() -> None:
    tail = OutputTail(limit_bytes=1000)
    for number in range(50_000):
        tail.add(f"line {number:05}")
        tail.add("\n")
    lines = tail.text().splitlines()
    assert lines == [f"line {number:05}" for number in range(50_000 - len(lines), 50_000)]
    assert 900 < len(tail.text()) <= 1000
    assert sum(map(len, tail._chunks)) < 10_000


def test_a_secret_cut_in_two_goes_with_its_line() -> None:
    tail = OutputTail(limit_bytes=100)
    tail.add(f"first\nuse ghp_{'aB3' * 12} for it\n{'x' * 60}\nlast\n")
    assert tail.text() == f"{'x' * 60}\nlast\n"
    tail = OutputTail(limit_bytes=100)
    tail.add(f"ghp_{'aB3' * 40} one long line")
    assert tail.text() == "one long line"
    tail = OutputTail(limit_bytes=100)
    tail.add("aB3" * 100)
    assert tail.text() == ""


def test_the_limit_is_in_bytes() -> None:
    tail = OutputTail(limit_bytes=100)
    for _ in range(50):
        tail.add("ééééé\n")
    assert tail.text() == "ééééé\n" * 9  # 11 bytes each


def test_text_that_cannot_be_encoded() -> None:
    tail = OutputTail()
    tail.add("a\udcffb\0c\n")
    assert tail.text() == "a\\udcffb\\x00c\n"


def test_threads_lose_nothing() -> None:
    tail = OutputTail(limit_bytes=10_000_000)
    start = threading.Barrier(5)

    def write(name: int) -> None:
        start.wait()
        for number in range(2000):
            tail.add(f"{name}:{number}\n")

    def read() -> None:
        start.wait()
        for _ in range(20):
            tail._copied()

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)] + [threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = tail._copied().splitlines()
    for name in range(4):
        assert [line for line in lines if line.startswith(f"{name}:")] == [f"{name}:{at}" for at in range(2000)]


def test_writes_neither_wait_for_the_lock_nor_grow_without_bound() -> None:
    tail = OutputTail(limit_bytes=1000)
    with tail._lock:  # as in a signal handler above a write
        for number in range(20_000):
            tail.add(f"line {number:05}\n")
    assert len(tail._chunks) < 10_000
    assert tail.text().endswith("line 19999\n")


@contextlib.contextmanager
def held_by_another_thread(lock: threading.Lock) -> Iterator[None]:
    """A child forked in here finds the lock taken, for ever."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    yield
    release.set()
    thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_prints_although_the_lock_was_held() -> None:
    tail = OutputTail(limit_bytes=100_000)
    tail.add("parent\n")
    with held_by_another_thread(tail._lock):
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            code = 1
            try:
                for number in range(2000):
                    tail.add(f"{number}\n")
                assert tail.text() == "parent\n" + "".join(f"{number}\n" for number in range(2000))
                assert len(tail._chunks) < 1000
                code = 0
            finally:
                os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_random_output_is_never_too_much_and_never_raises() -> None:
    rng = random.Random(5)
    for _ in range(50):
        tail = OutputTail(limit_bytes=rng.choice([0, 1, 7, 500]))
        for _ in range(rng.randrange(200)):
            tail.add("".join(rng.choices("ab \r\né\x1b[m=token:'", k=rng.randrange(12))))
        assert len(tail.text().encode()) <= 500
