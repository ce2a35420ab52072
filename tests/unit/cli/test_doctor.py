"""``mlops doctor`` and ``fsck``: what is where, why, and what is wrong with it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import mlops_sdk
from mlops_sdk.cli import journals
from mlops_sdk.journal import reader
from mlops_sdk.journal.chain import JournalOptions
from mlops_sdk.journal.records import SLOT_BYTES, Kind
from mlops_sdk.journal.writer import Journal
from tests.unit.cli.conftest import Mlops, from_json

APPENDED = JournalOptions(is_mapped=False)


@contextmanager
def living_journal(store: Path, run_id: str = "elsewhere", n_points: int = 10) -> Iterator[Journal]:
    """A journal whose writer lives and does not deliver: 1 run record, 1 key, `n_points` points."""
    journal = Journal(store / "journals", run_id, options=APPENDED)
    journal.event(Kind.RUN, {"experiment": "digits", "name": run_id})
    journal.define("loss")
    for step in range(n_points):
        journal.point("loss", 1.0 / (step + 1), step)
    try:
        yield journal
    finally:
        journal.close()
        journal.leave()


def dead_journal(store: Path, run_id: str = "elsewhere") -> Path:
    """Directory of a journal whose writer is dead."""
    with living_journal(store, run_id) as journal:
        return journal.directory


def doctor(mlops: Mlops, store: Path) -> dict[str, Any]:
    found: dict[str, Any] = from_json(mlops("doctor", "--json", "--store", store))
    return found


def files(directory: Path) -> dict[str, bytes]:
    """Everything below a directory but what SQLite needs to read: its log, empty, and the index of that."""
    kept = (path for path in sorted(directory.rglob("*")) if path.is_file() and not path.name.endswith("-shm"))
    return {str(path): data for path, data in ((path, path.read_bytes()) for path in kept) if data}


def test_a_sound_store_is_described(mlops: Mlops, store: Path) -> None:
    result = mlops("doctor", "--store", store)
    assert result.exit_code == 0
    for said in (
        str(store),
        "named by the tracking URI",
        "numpy",
        "pcodec",
        "disk free",
        "(from --store)",
        "no damage",
    ):
        assert said in result.stdout
    found = doctor(mlops, store)
    assert found["is_sound"] is True
    assert found["versions"]["mlops_sdk"] == mlops_sdk.__version__
    assert found["versions"]["sqlite"] == sqlite3.sqlite_version
    assert (found["database"]["runs"], found["database"]["experiments"]) == (8, 2)
    assert found["journal"]["mode"] in ("mapped", "append")
    assert found["journal"]["reason"]
    assert found["store"]["disk_free_bytes"] > 0
    assert found["writers"] == found["problems"] == []


def test_doctor_and_fsck_change_nothing(mlops: Mlops, store: Path) -> None:
    dead_journal(store)
    before = files(store)
    assert mlops("doctor", "--store", store).exit_code == 0
    assert mlops("fsck", "--store", store).exit_code == 0
    assert files(store) == before


def test_where_there_is_no_store_it_says_where_one_would_be(mlops: Mlops, tmp_path: Path) -> None:
    result = mlops("doctor")
    assert result.exit_code == 0
    assert str(tmp_path / ".mlops") in result.stdout
    assert "in the working directory" in result.stdout
    assert not (tmp_path / ".mlops").exists()


def test_settings_say_where_they_come_from_and_the_token_stays_secret(
    mlops: Mlops, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_TRACKING_URI", str(store))
    monkeypatch.setenv("MLOPS_TOKEN", "canary-7f3a")
    monkeypatch.setenv("MLOPS_JOURNAL", "append")
    result = mlops("doctor")
    assert f"{store} (from MLOPS_TRACKING_URI)" in result.stdout
    assert "(set) (from MLOPS_TOKEN)" in result.stdout
    found = from_json(mlops("doctor", "--json"))
    assert (found["journal"]["mode"], found["journal"]["reason"]) == ("append", "MLOPS_JOURNAL=append")
    assert "canary" not in result.output + str(found)


def test_records_that_wait_are_counted_by_writer_dead_or_alive(mlops: Mlops, store: Path) -> None:
    dead = dead_journal(store, "dead-run")
    with living_journal(store, "living-run", n_points=20):
        writers = {each["run_id"]: each for each in doctor(mlops, store)["writers"]}
        text = mlops("doctor", "--store", store).stdout
    assert {run: each["records"] for run, each in writers.items()} == {"dead-run": 12, "living-run": 22}
    assert writers["dead-run"]["state"].startswith("dead")
    assert (writers["living-run"]["state"], writers["living-run"]["pid"]) == ("alive", os.getpid())
    assert writers["dead-run"]["pending_bytes"] >= 12 * SLOT_BYTES
    assert "undelivered: 34 records of 2 writers" in text
    assert dead.is_dir()  # looking delivers nothing
    mlops("runs", "--store", store)
    assert doctor(mlops, store)["writers"] == []
    assert mlops_sdk.get_run("living-run", tracking_uri=store).summary("loss").count == 20


def test_what_the_store_has_already_does_not_count_as_waiting(mlops: Mlops, store: Path) -> None:
    with living_journal(store) as journal:
        batch = journal.batch_after(0)
        assert batch is not None
        mlops_sdk.open_store(store).append(batch)
        (writer,) = doctor(mlops, store)["writers"]
        assert (writer["records"], writer["state"]) == (0, "alive")
        journal.point("loss", 0.0, 99)
        assert doctor(mlops, store)["writers"][0]["records"] == 1


def test_a_damaged_journal_is_reported_with_its_place_and_other_runs_stay_readable(mlops: Mlops, store: Path) -> None:
    directory = dead_journal(store)
    (segment,) = directory.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[-3 * SLOT_BYTES + 5] ^= 1  # the third last point
    segment.write_bytes(data)
    for command in ("doctor", "fsck"):
        result = mlops(command, "--store", store)
        assert result.exit_code == 1
        assert str(segment) in result.stdout
        assert "damaged record" in result.stdout
    found = doctor(mlops, store)
    assert [each["place"] for each in found["problems"]] == [str(segment)]
    assert found["writers"][0]["records"] == 9
    assert mlops("show", "slow", "--store", store).exit_code == 0
    # the next reader delivered what is sound, and set the rest aside, which stays reported
    assert mlops_sdk.get_run("elsewhere", tracking_uri=store).summary("loss").count == 7
    (problem,) = doctor(mlops, store)["problems"]
    assert problem["place"] == str(store / "journals" / "damaged" / directory.name)
    assert (store / "journals" / "damaged" / directory.name / segment.name).read_bytes() == bytes(data)


def test_a_damaged_header_is_reported(mlops: Mlops, store: Path) -> None:
    directory = dead_journal(store)
    (segment,) = directory.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[30] ^= 1
    segment.write_bytes(data)
    result = mlops("doctor", "--store", store)
    assert result.exit_code == 1
    assert "damaged journal header" in result.stdout


def test_a_journal_of_the_future_is_reported_and_stays(mlops: Mlops, store: Path) -> None:
    directory = dead_journal(store)
    (segment,) = directory.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[8] = 99
    segment.write_bytes(data)
    result = mlops("doctor", "--store", store)
    assert result.exit_code == 1
    assert "format 99" in result.stdout
    assert mlops("runs", "--store", store).exit_code == 0
    assert segment.read_bytes() == bytes(data)


def test_a_record_under_way_in_a_living_journal_is_no_damage(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with living_journal(store) as journal:
        (segment,) = journal.directory.glob("*.seg")
        whole, looks = segment.read_bytes(), []
        torn = whole[: -SLOT_BYTES // 2]

        def look(directory: Path) -> reader.Recovered:
            segment.write_bytes(whole if looks else torn)
            looks.append(directory)
            return recover(directory)

        recover = reader.recover
        monkeypatch.setattr(reader, "recover", look)
        (found,) = journals.pending(store / "journals", lambda writer_id: None)
        assert (found.state, found.damage, len(looks)) == ("alive", [], 2)
        whole = torn  # and now it stays so
        looks.clear()
        (found,) = journals.pending(store / "journals", lambda writer_id: None)
        assert [damage.path for damage in found.damage] == [segment]


def test_a_damaged_database_is_reported_by_both(mlops: Mlops, store: Path) -> None:
    database = store / "store.db"
    data = bytearray(database.read_bytes())
    page = int.from_bytes(data[16:18], "big")
    with sqlite3.connect(database) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'tags'").fetchone()
    connection.close()
    data[(root - 1) * page : root * page] = b"\xff" * page
    database.write_bytes(data)
    for command in ("doctor", "fsck"):
        result = mlops(command, "--store", store)
        assert result.exit_code == 1
        assert str(database) in result.stdout
        assert "Traceback" not in result.output
    assert from_json(mlops("fsck", "--json", "--store", store))["is_sound"] is False
    shown = mlops("show", "run-slow", "--store", store)
    assert shown.exit_code == 1
    assert "0.612626" in shown.stdout
    assert "notes/report.txt" in shown.stdout  # which stands below the tags


def test_a_store_without_a_database_gets_none_by_being_looked_at(mlops: Mlops, store: Path) -> None:
    (store / "store.db").unlink()
    dead_journal(store)
    for command in ("doctor", "fsck"):
        assert mlops(command, "--store", store).exit_code == 0
    assert not (store / "store.db").exists()


def test_a_database_that_is_none_is_one_line_everywhere(mlops: Mlops, store: Path) -> None:
    (store / "store.db").write_bytes(b"this was a database" * 1000)
    for command in (["runs"], ["show", "@1"], ["experiments"], ["delete", "slow"], ["gc"]):
        result = mlops(*command, "--store", store)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1), command
    found = mlops("doctor", "--store", store)
    assert found.exit_code == 1
    assert "not a SQLite database" in found.stdout


def test_fsck_finds_changed_bytes_and_wrong_summaries(mlops: Mlops, store: Path) -> None:
    assert "no damage" in mlops("fsck", "--store", store).stdout
    (blob, *_) = [path for path in (store / "blobs" / "sha256").rglob("*") if path.is_file()]
    blob.chmod(0o600)
    blob.write_bytes(bytes(reversed(blob.read_bytes())))
    with sqlite3.connect(store / "store.db") as connection:
        connection.execute("UPDATE metrics SET max = 1e9 WHERE run = (SELECT id FROM runs WHERE run_id = 'run-slow')")
    connection.close()
    result = mlops("fsck", "--json", "--store", store)
    assert result.exit_code == 1
    places = " ".join(each["place"] for each in from_json(result)["problems"])
    assert "notes/" in places
    assert "metric 'loss'" in places


def test_a_store_open_to_others_is_noted(mlops: Mlops, store: Path) -> None:
    if os.name != "posix":
        pytest.skip("modes are a POSIX notion")
    (store / "store.db").chmod(0o644)
    found = mlops("doctor", "--store", store)
    assert found.exit_code == 0
    assert f"{store / 'store.db'}: others may look into it. chmod go= " in found.stdout
    assert doctor(mlops, store)["store"]["mode"] == "0700"
