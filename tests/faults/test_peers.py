"""The benchmarks beside other trackers: the harness measures, and finds trackers that lose, hang, fail or lack things."""

from __future__ import annotations

import os
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the harness reads /proc", allow_module_level=True)

from benchmarks.peers import children, columns, environments, killing, page, plan, workloads
from benchmarks.peers.adapters.wandb import records_of
from benchmarks.peers.histories import fidelity
from benchmarks.peers.laboratory import Laboratory
from benchmarks.peers.results import Results
from benchmarks.peers.systems import SYSTEMS, System

WRONG = "tests.faults.peers_made_wrong:"
LINES = SYSTEMS["lines"]


def wrong(name: str) -> System:
    return System(name.lower(), name, WRONG + name, "pass")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Laboratory]:
    monkeypatch.setattr(killing, "MODES", (killing.Mode("kill_tight", 0.0, 0.1, 0.2),))
    (tmp_path / "scratch").mkdir()
    made = Laboratory(tmp_path / "scratch", tmp_path, Results(), is_quick=True, limit_s=60)
    yield made
    made.close()


def killed(lab: Laboratory, system: System) -> dict[str, int]:
    killing.kill(lab, system)
    assert lab.results.troubles == {}
    found: dict[str, int] = lab.results.values(system.name, "kill_tight")[0]
    return found


# -- the kill harness --------------------------------------------------------------------------------------------------


def test_a_line_per_point_loses_nothing_and_a_buffer_does(lab: Laboratory) -> None:
    flushed, buffered = killed(lab, LINES), killed(lab, wrong("Buffered"))
    assert (flushed["trials"], flushed["lost"], flushed["runs_with_gaps"]) == (2, 0, 0)
    assert flushed["acknowledged"] > 0
    assert 0 < buffered["lost"] <= buffered["acknowledged"]
    assert buffered["runs_with_loss"] == 2


def test_gaps_and_what_only_a_second_reader_sees_are_told_apart_from_losses(lab: Laboratory) -> None:
    early, late = killed(lab, wrong("Early")), killed(lab, wrong("Late"))
    assert early["runs_with_gaps"] == 2
    assert late["lost"] == 0
    assert late["late"] > 0, "of the first run, which was read first"


def test_a_victim_that_never_begins_is_a_failure_with_its_message(lab: Laboratory) -> None:
    killing.kill(lab, wrong("Fails"))
    assert lab.results.values("fails", "kill_tight") == []
    assert lab.results.troubles["fails"]["kill"] == {
        "kind": "failed",
        "reason": "OSError: no space for | this `tracker`",
        "times": 2,
    }


def test_a_store_that_cannot_be_read_has_lost_everything() -> None:
    found = killing.summary(
        [killing._Killed("a", 10), killing._Killed("b", 10), killing._Killed("c", 10)],
        [{"n": 11, "first_n": 11, "gaps": False}, {"unreadable": "KeyError: b", "first_n": 0},
         {"n": 9, "first_n": 4, "gaps": True}],
    )  # fmt: skip
    assert (found["acknowledged"], found["lost"], found["late"]) == (30, 11, 5)
    assert (found["runs_with_loss"], found["runs_unreadable"], found["runs_with_gaps"]) == (2, 1, 1)


def lives(pid: int) -> bool:
    """A zombie, which nobody may be there to wait for, does not."""
    try:
        return Path("/proc", str(pid), "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# -- children that go wrong --------------------------------------------------------------------------------------------


def test_a_peer_that_hangs_is_ended_with_its_helpers_and_noted(lab: Laboratory) -> None:
    site = lab.site(wrong("Hangs"), "hangs")
    child, answer = lab.start(site, "session", name="run", points=1)
    helper = site.place / "helper"
    deadline = time.monotonic() + 60
    while not helper.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    pid = int(helper.read_text(encoding="utf-8"))
    assert lives(pid)
    began = time.monotonic()
    assert lab.figures(site.system, "start", children.result_of(child, answer, 0.1)) is None
    assert time.monotonic() - began < 20
    assert lab.results.troubles["hangs"]["start"]["reason"].startswith("no answer in 0 s")
    assert not lives(pid)


def test_a_peer_that_ends_the_process_is_noted_with_its_last_words(lab: Laboratory) -> None:
    assert lab.ask(lab.site(wrong("Exits"), "exits"), "start", "session", name="run", points=1) is None
    assert lab.results.troubles["exits"]["start"]["reason"] == "ended with 3: goodbye"


def test_what_a_peer_lacks_is_no_failure(lab: Laboratory) -> None:
    workloads.history(lab, wrong("Lacks"))
    workloads.table(lab, LINES)
    troubles = lab.results.troubles
    assert (troubles["lacks"]["read"]["kind"], troubles["lines"]["table"]["kind"]) == ("missing", "missing")
    assert lab.results.values("lacks", "bytes_point")[0] > 10
    assert columns.READ.cell(lab.results, "lacks") == columns.TABLE.cell(lab.results, "lines") == "no such thing"


def test_children_get_no_settings_of_the_users_trackers(lab: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "MLFLOW_TRACKING_URI", "MLOPS_TRACKING_URI", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "x")
    environ = lab.environ(lab.site(SYSTEMS["trackio"], "a"))
    assert not {"WANDB_API_KEY", "MLFLOW_TRACKING_URI", "MLOPS_TRACKING_URI", "HTTPS_PROXY"} & set(environ)
    assert environ["DO_NOT_TRACK"] == "1"
    assert environ["HOME"].startswith(environ["TRACKIO_DIR"].rpartition("/")[0])


# -- measuring ---------------------------------------------------------------------------------------------------------


def test_histories_that_are_rounded_or_short_are_found(lab: Laboratory) -> None:
    for system in (LINES, wrong("Rounds")):
        workloads.history(lab, system)
    assert lab.results.values("lines", "fidelity") == ["exact"]
    assert lab.results.values("rounds", "fidelity")[0].startswith("values differ")
    assert fidelity([1.0], [1.0, 2.0]) == "1 of 2 points"
    rounded = struct.unpack("<f", struct.pack("<f", 0.1))[0]
    assert fidelity([rounded], [0.1]) == "float32"


def test_calls_are_measured_beside_the_yardsticks(lab: Laboratory) -> None:
    workloads.calls(lab, LINES)
    figures = {metric: values[0] for metric, values in lab.results.figures["lines"].items()}
    assert figures["append_us"] < figures["write_us"] < figures["ten_us"]
    assert 0.3 < figures["one_in_lines"] < 3, "a line, in lines"
    assert figures["n_calls"] > 100
    assert figures["per_s"] > 1000
    assert 5 < figures["memory_mib"] < 200


@pytest.mark.slow
def test_ours_goes_through_every_workload_that_is_not_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(killing, "MODES", (killing.Mode("kill_paced", 0.01, 0.05, 0.2),))
    monkeypatch.setattr(workloads, "N_PROCESSES", 2)
    choice = plan.Choice(
        ["lines", "ours"], ["import", "start", "calls", "history", "processes", "kill"], None, True, 1, tmp_path
    )
    results = plan.measure(choice, said.append)
    assert results.troubles == {}
    assert results.values("ours", "fidelity") == ["exact"]
    assert results.values("ours", "kill_paced")[0]["lost"] == 0
    assert results.values("ours", "processes")[0] | {"seconds": 0} == {
        "seconds": 0,
        "errors": 0,
        "lost": 0,
        "logged": 100,
    }
    assert [line.partition("]")[0] for line in said] == [f"[{at}/11" for at in range(1, 12)]
    assert all("min left" in line for line in said)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("scratch")] == [], "tidied up"
    text = page.tables(results)
    assert "| **mlops_sdk " in text
    results.save(tmp_path / "results.json")
    again = Results.load(tmp_path / "results.json")
    assert page.tables(again).count("\n") == text.count("\n")


def test_repeats_go_round_all_systems_in_another_order_each_time() -> None:
    systems = list(SYSTEMS.values())
    choice = plan.Choice(list(SYSTEMS), ["calls", "kill"], 4, False, 1, Path())
    steps = plan.steps_of(choice, systems)
    rounds = [
        [step.systems[0].name for step in steps if step.workload.name == "calls" and step.repeat == at]
        for at in range(4)
    ]
    assert all(sorted(names) == sorted(SYSTEMS) for names in rounds)
    assert len({tuple(names) for names in rounds}) == 4
    assert [len(step.systems) for step in steps if step.workload.name == "kill"] == [len(SYSTEMS)] * 4


def test_what_a_server_does_not_change_is_measured_once() -> None:
    choice = plan.Choice(["ours", "ours-http"], ["import", "calls"], 1, False, 1, Path())
    steps = plan.steps_of(choice, [SYSTEMS["ours"], SYSTEMS["ours-http"]])
    assert Counter((step.workload.name, step.systems[0].name) for step in steps) == {
        ("import", "ours"): 1,
        ("calls", "ours"): 1,
        ("calls", "ours-http"): 1,
    }


def test_every_peer_has_exact_versions_and_says_how_it_was_used_if_not_plainly() -> None:
    for system in SYSTEMS.values():
        assert system.is_ours or system.name == "lines" or any("==" in each for each in system.requires)
        assert system.server == "" or system.base in SYSTEMS


def test_an_environment_is_made_once_and_again_when_it_should_be_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def run(command: list[str]) -> None:
        made.append(command[-1])
        python = tmp_path / "peer" / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()

    monkeypatch.setattr(environments, "_run", run)
    for version in ("1", "1", "2"):
        system = System("peer", "Peer", WRONG + "Lines", "pass", "peer", (f"peer=={version}",))
        environments.prepare(system, tmp_path, lambda _: None)
    assert made == [str(tmp_path / "peer"), "peer==1", str(tmp_path / "peer"), "peer==2"]


def test_an_environment_that_cannot_be_made_says_what_pip_said(tmp_path: Path) -> None:
    with pytest.raises(environments.EnvironmentFailedError, match="no such option"):
        environments._run([sys.executable, "-m", "pip", "--no-such-option"])


# -- reading wandb's file ----------------------------------------------------------------------------------------------


def test_records_are_read_across_blocks_and_up_to_the_first_torn_one() -> None:
    payloads = [bytes([number]) * size for number, size in enumerate((10, 40_000, 3, 32_700, 70_000))]
    data = _framed(payloads)
    assert list(records_of(data)) == payloads
    assert list(records_of(data[:-1])) == payloads[:-1]
    assert list(records_of(data[:20])) == []


def _framed(payloads: list[bytes]) -> bytes:
    """As LevelDB's log, after wandb's header of 7 bytes."""
    data = bytearray(b":W&B\0\0\0")
    for payload in payloads:
        begun, rest = False, payload
        while True:
            left = 32_768 - len(data) % 32_768
            if left < 7:
                data += bytes(left)
                left = 32_768
            part, rest = rest[: left - 7], rest[left - 7 :]
            kind = {(False, False): 1, (False, True): 2, (True, True): 3, (True, False): 4}[begun, bool(rest)]
            data += struct.pack("<IHB", 0, len(part), kind) + part
            begun = True
            if not rest:
                break
    return bytes(data)


# -- the page ----------------------------------------------------------------------------------------------------------


def results_of_two() -> Results:
    results = Results(
        {"machine": "a machine", "network": "loopback only"},
        {
            "lines": {"label": "a line", "version": "", "note": "", "is_ours": False},
            "ours": {"label": "mlops_sdk", "version": "1", "note": "", "is_ours": True},
            "a peer": {"label": "Peer", "version": "2", "note": "a note", "is_ours": False},
        },
    )
    results.add("lines", "one_us", 0.1)
    results.add("ours", "one_us", 0.7, 0.9, 0.8)
    results.add("a peer", "one_us", 0.5)
    results.add("ours", "per_s", 10.0)
    results.add("a peer", "per_s", 5.0)
    results.trouble("a peer", "table", "failed", "OSError: no | `space`")
    return results


def test_where_we_are_behind_and_what_failed_is_on_the_page() -> None:
    text = page.tables(results_of_two())
    assert "- one metric, us: 0.80 (0.70-0.90); better: Peer 0.50\n" in text
    assert "calls a second, with finish:" not in text, "more is better there"
    assert "- Peer, table: `OSError: no / 'space'`" in text
    assert "| Peer 2 | " in text
    assert "### Losing" not in text, "nothing of it was measured"
    assert "| - |" in text
    assert "- Peer: a note." in text


@pytest.mark.slow
def test_documents_are_written_between_their_markers_and_are_in_step(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("README.md", "docs/benchmarks.md"):
        (tmp_path / name).write_text("before\n<!-- peers -->\nold\n<!-- /peers -->\nafter\n", encoding="utf-8")
    page.write_documents(results_of_two(), tmp_path)
    assert list(Results.load(tmp_path / page.DATA).systems) == ["lines", "ours", "a peer"], "in our order"
    assert (tmp_path / page.CHART).read_bytes().startswith(b"\x89PNG")
    for name, block in page.blocks(Results.load(tmp_path / page.DATA)).items():
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert page.block_of(text) == block
        assert text.startswith("before\n")
        assert text.endswith("-->\nafter\n")
        assert "old" not in text
    with pytest.raises(ValueError, match="one block"):
        page.filled("no markers", "x")


def test_figures_have_three_digits() -> None:
    assert [columns.short(value) for value in (0.0, 0.1234, 1.234, 12.34, 123.4, 1234.0, 123456.0)] == [
        "0", "0.12", "1.23", "12.3", "123", "1,230", "123,000"]  # fmt: skip
    assert os.linesep.join([columns.spread([1.0, 3.0, 2.0]) or ""]) == "2.00 (1.00-3.00)"
