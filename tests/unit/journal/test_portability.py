"""The plain-append path where Linux is not: in a process that lacks what other systems lack."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

MASKS = {
    "windows": """
        sys.modules["fcntl"] = None
        real_link, real_list = os.readlink, os.listdir
        def open_paths():
            for fd in real_list("/proc/self/fd"):
                try:
                    yield real_link("/proc/self/fd/" + fd)
                except OSError:
                    pass
        def refusing(change):
            def refuse_open_files(*paths, **more):
                for path in paths:
                    held = [each for each in open_paths() if each == str(path) or each.startswith(str(path) + "/")]
                    if held and not more:  # shutil.rmtree removes by descriptors, which is not for Windows
                        raise PermissionError(f"WinError 32: {held} are open")
                return change(*paths, **more)
            return refuse_open_files
        os.rename, os.replace, os.unlink = map(refusing, (os.rename, os.replace, os.unlink))
        import mlops_sdk.journal.segment as segment
        segment.CAN_RENAME_OPEN_FILES = False  # what os.name == "nt" gives
        for name in ("posix_fallocate", "pread", "fdatasync", "statvfs", "register_at_fork", "fork", "uname"):
            if hasattr(os, name):
                delattr(os, name)
        del time.CLOCK_BOOTTIME
        real_open = open
        def no_proc(path, *args, **more):
            if str(path).startswith("/proc"):
                raise FileNotFoundError(path)
            return real_open(path, *args, **more)
        import builtins, io
        builtins.open = io.open = no_proc
        def no_link(path, *args, **more):
            raise FileNotFoundError(path)
        os.readlink = no_link
    """,
    "macos": """
        for name in ("posix_fallocate", "fdatasync"):
            delattr(os, name)
        del time.CLOCK_BOOTTIME
        sys.platform = "darwin"
    """,
}

PROGRAM = """
from pathlib import Path
from mlops_sdk.journal import filesystem, liveness, reader
from mlops_sdk.journal.records import Kind, decode
from mlops_sdk.journal.chain import JournalOptions
from mlops_sdk.journal.writer import Journal

root = Path(sys.argv[1])
assert (liveness.fcntl is None) == ("fcntl" in sys.modules and sys.modules["fcntl"] is None)
verdict = filesystem.inspect(root)
assert not verdict.is_mapped, verdict
options = JournalOptions(is_mapped=verdict.is_mapped, first_bytes=4096)
journal, left = (Journal(root, run, options=options) for run in ("one", "two"))
for each in (journal, left):
    each.define("a")
    for i in range(500):
        each.point("a", i / 3, i)
    each.event(Kind.TAGS, {"set": {"a": "b"}})
    each.sync()
    syncs = [OSError(5, "Input/output error")]
    sync = os.fsync
    def fail_once(fd):
        if syncs:
            raise syncs.pop()
        sync(fd)
    os.fsync = fail_once
    each.point("a", 500 / 3, 500)
    each.sync()  # rescues
    os.fsync = sync
    assert not syncs
    assert not each.reanchor()
sequence, points = 0, 0
while batch := journal.batch_after(sequence):
    points += len(decode(batch).points)
    sequence = batch.last
    journal.release(sequence)
assert points == 501, points
assert list(reader.orphans(root)) == [], "both live"
journal.remove()
left.leave()
batches = list(reader.recover(left.directory).batches(0))
values = [value for batch in batches for value in decode(batch).points.value]
assert values == [i / 3 for i in range(501)]
print("whole", [path.name for path in root.iterdir()] == [left.directory.name])
"""


@pytest.mark.parametrize("system", MASKS)
def test_the_journal_works_where_linux_is_not(tmp_path: Path, system: str) -> None:
    mask = textwrap.dedent(MASKS[system])
    program = f"import os, sys, time\n{mask}\n{PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "whole True\n", "")


def test_nothing_third_party_is_loaded_by_logging(tmp_path: Path) -> None:
    program = """
        import sys
        before = set(sys.modules)
        from pathlib import Path
        from mlops_sdk.journal.writer import Journal
        journal = Journal(Path(sys.argv[1]), "run")
        journal.define("a")
        for i in range(5000):
            journal.point("a", 0.5, i)
        journal.remove()
        new = {name.partition(".")[0] for name in set(sys.modules) - before}
        print(sorted(new - set(sys.stdlib_module_names) - {"mlops_sdk"}))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
