"""The table of endings: each ending tried in a real process, with and without ``with``."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import mlops_sdk

_HEAD = """
import os, signal, sys, time
# Whoever started these tests may ignore signals (nohup, a shell's background job), and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
import mlops_sdk
options = dict(tracking_uri=sys.argv[1], run_id="r", capture=False, system_metrics=False)
"""
_SCRIPTS = {
    "bare": "run = mlops_sdk.start_run(**options)\nrun.log_metric('loss', 0.5, step=0)\n{end}\n",
    "with": "with mlops_sdk.start_run(**options) as run:\n    run.log_metric('loss', 0.5, step=0)\n{indented}\n",
}

_SURVIVED = "try:\n    os.kill(os.getpid(), signal.SIGINT); time.sleep(5)\nexcept KeyboardInterrupt:\n    pass"
ENDINGS = {
    "end of the script": ("pass", "FINISHED", None, 0),
    "finish": ("run.finish()", "FINISHED", None, 0),
    "exit 0": ("sys.exit(0)", "FINISHED", None, 0),
    "exit none": ("sys.exit()", "FINISHED", None, 0),
    "exit 3": ("sys.exit(3)", "FAILED", "exit:3", 3),
    "exit text": ("sys.exit('no')", "FAILED", "exit:1", 1),
    "exit caught": ("try:\n    sys.exit(3)\nexcept SystemExit:\n    pass", "FINISHED", None, 0),
    "exception": ("raise ValueError('boom')", "FAILED", "exception", 1),
    "interrupt raised": ("raise KeyboardInterrupt", "KILLED", "exception", -signal.SIGINT),
    "SIGINT": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", "KILLED", f"signal:{int(signal.SIGINT)}",
               -signal.SIGINT),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(5)", "KILLED", f"signal:{int(signal.SIGTERM)}",
                -signal.SIGTERM),
    "SIGHUP": ("os.kill(os.getpid(), signal.SIGHUP); time.sleep(5)", "KILLED", f"signal:{int(signal.SIGHUP)}",
               -signal.SIGHUP),
    "interrupt handled": (_SURVIVED, "FINISHED", None, 0),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", "KILLED", "lost:process", -signal.SIGKILL),
    "os._exit": ("os._exit(0)", "KILLED", "lost:process", 0),
    "abort": ("os.abort()", "KILLED", "lost:process", -signal.SIGABRT),
    "segfault": ("os.kill(os.getpid(), signal.SIGSEGV)", "KILLED", "lost:process", -signal.SIGSEGV),
    "finish FAILED": ("run.finish('FAILED')", "FAILED", None, 0),
    "finish twice": ("run.finish('FAILED'); run.finish('FINISHED')", "FAILED", None, 0),
    "exit from a thread": ("import threading; t = threading.Thread(target=lambda: sys.exit(3)); t.start(); t.join()",
                           "FINISHED", None, 0),
}  # fmt: skip


def _run_script(script: str, *arguments: str) -> int:
    done = subprocess.run([sys.executable, "-c", _HEAD + script, *arguments], capture_output=True, timeout=60)
    return done.returncode


@pytest.mark.parametrize("form", ["bare", "with"])
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.skipif(sys.platform == "win32", reason="signals of this kind are POSIX")
def test_each_ending_leaves_its_status(tmp_path: Path, form: str, ending: str) -> None:
    end, status, reason, code = ENDINGS[ending]
    script = _SCRIPTS[form].format(end=end, indented=textwrap.indent(end, "    "))
    assert _run_script(script, str(tmp_path)) == code
    run = mlops_sdk.get_run("r", tracking_uri=tmp_path)
    assert (run.status, run.end_reason) == (status, reason)
    assert run.metrics == {"loss": 0.5}
    assert run.end_time is not None
    assert run.end_time >= run.start_time
    assert list((tmp_path / "journals").iterdir()) == []


def test_a_failure_keeps_its_traceback(tmp_path: Path) -> None:
    assert _run_script("with mlops_sdk.start_run(**options):\n    raise ValueError('boom-42')", str(tmp_path)) == 1
    assert "ValueError: boom-42" in (mlops_sdk.get_run("r", tracking_uri=tmp_path).traceback or "")


def test_a_signal_that_was_survived_is_kept(tmp_path: Path) -> None:
    end = _SURVIVED
    assert _run_script(_SCRIPTS["bare"].format(end=end), str(tmp_path)) == 0
    assert mlops_sdk.get_run("r", tracking_uri=tmp_path).environment["signals"] == [int(signal.SIGINT)]


def test_a_handler_of_the_program_is_left_alone(tmp_path: Path) -> None:
    script = (
        "signal.signal(signal.SIGTERM, lambda *_: print('mine', flush=True))\n"
        "run = mlops_sdk.start_run(**options)\n"
        "os.kill(os.getpid(), signal.SIGTERM); time.sleep(0.01)\n"
        "assert signal.getsignal(signal.SIGTERM).__name__ == '<lambda>'\n"
    )
    assert _run_script(script, str(tmp_path)) == 0
    assert mlops_sdk.get_run("r", tracking_uri=tmp_path).status == "FINISHED"


def test_the_exception_hook_of_the_program_still_runs(tmp_path: Path) -> None:
    script = (
        "sys.excepthook = lambda *_: print('my hook')\nrun = mlops_sdk.start_run(**options)\nraise ValueError('boom')\n"
    )
    done = subprocess.run([sys.executable, "-c", _HEAD + script, str(tmp_path)], capture_output=True, text=True)
    assert "my hook" in done.stdout
    assert mlops_sdk.get_run("r", tracking_uri=tmp_path).status == "FAILED"


def test_nested_runs_end_inside_out(tmp_path: Path) -> None:
    script = (
        "outer = mlops_sdk.start_run(**options)\n"
        "inner = mlops_sdk.start_run(**{**options, 'run_id': 'inner'}, nested=True)\n"
        "raise ValueError('boom')\n"
    )
    assert _run_script(script, str(tmp_path)) == 1
    outer, inner = (mlops_sdk.get_run(name, tracking_uri=tmp_path) for name in ("r", "inner"))
    assert (outer.status, inner.status, inner.parent) == ("FAILED", "FAILED", "r")
    assert list(outer.children) == ["inner"]


def test_a_status_that_is_none_is_refused(tmp_path: Path) -> None:
    run = mlops_sdk.start_run(tracking_uri=tmp_path, capture=False, system_metrics=False)
    with run, pytest.raises(mlops_sdk.InvalidValueError, match="FINISHED"):
        run.finish("DONE")
    assert run.status == "FINISHED"


def test_logging_after_the_end_is_counted_and_says_how_to_go_on(tmp_path: Path) -> None:
    run = mlops_sdk.start_run(tracking_uri=tmp_path, capture=False, system_metrics=False)
    run.log_metric("loss", 0.5)
    run.finish()
    run.log_metric("loss", 0.25)
    run.log_param("a", 1)
    run.set_tag("t", "x")
    assert run.health()["errors"] == {"RunFinishedError": 3}
    assert "resume='must'" in run.health()["messages"]["RunFinishedError"]
    assert run.metrics == {"loss": 0.5}
    assert run.params == {}
