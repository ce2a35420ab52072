"""Every kind of difference between runs, and which of them is read first."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlops_sdk import InvalidValueError
from mlops_sdk.comparison.comparison import Comparison
from mlops_sdk.comparison.difference import MISSING, Varies, same
from mlops_sdk.comparison.question import Question
from mlops_sdk.comparison.subject import Subject
from tests.unit.comparison.made import record, runs

NAN = float("nan")


def packages(**versions: str) -> dict[str, Any]:
    return {"packages": {"digest": "d", "packages": [f"{name}=={version}" for name, version in versions.items()]}}


# -- params ----------------------------------------------------------------------------------------------------------------


def test_params_added_removed_changed() -> None:
    found = runs(
        record(params={"lr": 0.1, "gone": 1, "same": [1, 2]}), record(params={"lr": 0.2, "new": None, "same": [1, 2]})
    )
    assert {key: (each.values, each.kind) for key, each in found.params.items()} == {
        "lr": ((0.1, 0.2), "changed"),
        "gone": ((1, MISSING), "removed"),
        "new": ((MISSING, None), "added"),
    }


@pytest.mark.parametrize(
    "one, other, is_same",
    [
        (1, 1.0, True), (NAN, NAN, True), (True, 1, False), ("1", 1, False), (None, "None", False), (0.0, -0.0, True),
        ([1, NAN], [1.0, NAN], True), ({"a": [1]}, {"a": [True]}, False), ({"a": 1}, {"b": 1}, False), ([1], [1, 2], False),
        (10**400, 10**400, True), (10**400, 10**400 + 1, False),
    ],
)  # fmt: skip
def test_what_is_the_same(one: Any, other: Any, is_same: bool) -> None:
    assert same(one, other) is same(other, one) is is_same
    assert bool(runs(record(params={"p": one}), record(params={"p": other})).params) is not is_same


def test_values_that_look_alike_are_told_apart_in_the_summary() -> None:
    text = runs(record(params={"p": "1"}), record(params={"p": 1})).summary()
    assert "'1'" in text
    text = runs(record(params={"p": 0.1}), record(params={"p": 0.1 + 1e-12})).summary()
    assert "0.100000000001" in text


# -- metrics ---------------------------------------------------------------------------------------------------------------


def test_metrics_know_their_direction_and_every_summary() -> None:
    found = runs(
        record(metrics={"val/acc": [0.5, 0.9, 0.8], "loss": [1.0, 0.5], "odd": 1.0, "own": 1.0}, modes={"own": "min"}),
        record(metrics={"val/acc": [0.5, 0.85], "loss": [1.0, 0.6], "odd": 2.0, "own": 0.5}, modes={"own": "min"}),
    ).metrics
    assert {key: (each.direction, each.trend) for key, each in found.items()} == {
        "val/acc": ("max", "better"), "loss": ("min", "worse"), "odd": (None, "greater"), "own": ("min", "better"),
    }  # fmt: skip
    acc = found["val/acc"]
    assert (acc.of("last"), acc.of("best"), acc.of("min"), acc.of("count")) == (
        (0.8, 0.85),
        (0.9, 0.85),
        (0.5, 0.5),
        (3, 2),
    )
    assert "not known" in found["odd"].note
    assert found["odd"].of("best") == (MISSING, MISSING)


def test_what_define_metric_said_comes_before_the_name_and_a_dispute_is_no_direction() -> None:
    one, other = record(metrics={"loss": 1.0}, modes={"loss": "max"}), record(metrics={"loss": 2.0})
    assert runs(one, other).metrics["loss"].trend == "better"
    disputed = record(metrics={"loss": 2.0}, modes={"loss": "min"})
    assert runs(one, disputed).metrics["loss"].trend == "greater"


def test_a_metric_with_the_same_end_and_another_course_differs() -> None:
    found = runs(record(metrics={"loss": [3.0, 1.0]}), record(metrics={"loss": [2.0, 1.0]}))
    assert (found.metrics["loss"].trend, found.metrics["loss"].of("max")) == ("", (3.0, 2.0))
    assert "mean 2 -> 1.5" in found.summary()
    assert not runs(record(metrics={"loss": NAN}), record(metrics={"loss": NAN})).metrics


def test_missing_and_not_finite_metrics_come_last_and_system_metrics_not_at_all() -> None:
    found = runs(
        record(metrics={"gone": 1.0, "nan": 1.0, "a": 1.0, "b": 1.0, "system/cpu": 1.0}),
        record(metrics={"nan": NAN, "a": 1.1, "b": 2.0, "new": 1.0, "system/cpu": 2.0}),
    )
    assert [each.key for each in found.results] == ["b", "a", "gone", "nan", "new"]
    assert [each.kind for each in found.results[2:]] == ["removed", "changed", "added"]


# -- data ------------------------------------------------------------------------------------------------------------------

DIGITS = {
    "name": "digits", "context": "train", "digest": "d" * 64, "content_digest": "c" * 64, "schema_digest": "s" * 64,
    "n_rows": 100, "columns": {"a": {"digest": "1"}, "b": {"digest": "2"}},
}  # fmt: skip


@pytest.mark.parametrize(
    "changes, note",
    [
        ({"name": "other"}, "same data under another description"),
        ({"digest": "e" * 64}, "same rows in another order"),
        ({"digest": None}, "same data, whose order is not known"),
        ({"digest": "e" * 64, "salt_id": "s"}, "digests with different salts cannot be compared"),
        ({"digest": "e" * 64, "content_digest": "f", "n_rows": 1200}, "same columns, other values, 100 -> 1,200 rows"),
        (
            {"digest": "e", "content_digest": "f", "schema_digest": "g", "columns": {"b": {"digest": "9"}, "c": {}}},
            "other data, columns added: c, columns removed: a, columns changed: b",
        ),
    ],
)
def test_datasets_say_how_they_differ(changes: dict[str, Any], note: str) -> None:
    found = runs(record(datasets=[DIGITS]), record(datasets=[DIGITS | changes]))
    assert found.datasets["train"].note == note
    assert found.changes[0].section == "datasets"


def test_columns_may_be_listed_and_fields_may_be_missing_or_of_any_type() -> None:
    listed = {
        "context": "train",
        "digest": "x",
        "columns": [{"name": "a", "digest": "1"}, {"name": "b", "digest": "2"}],
    }
    found = runs(
        record(datasets=[listed]), record(datasets=[listed | {"digest": "y", "columns": listed["columns"][:1]}])
    )  # type: ignore[index]
    assert found.datasets["train"].note == "other data, columns removed: b"
    odd = [{}, {"context": 5, "name": ["x"], "columns": "text", "n_rows": "many"}, "no mapping"]
    assert runs(record(datasets=odd), record(datasets=[{"digest": None}])).summary()
    assert runs(
        record(datasets=[{"context": "train"}]), record(datasets=[{"context": "train", "digest": "x"}])
    ).datasets


def test_what_a_fingerprint_is_made_of_is_no_difference() -> None:
    bulky = DIGITS | {
        "lookup": "x" * 1000,
        "profile": {"a": 1},
        "columns": [{"name": "a", "digest": "1", "profile": {}}],
    }
    less = DIGITS | {"columns": [{"name": "a", "digest": "1"}], "artifact": "datasets/x.json"}
    assert not runs(record(datasets=[bulky]), record(datasets=[less])).datasets
    found = runs(record(datasets=[bulky]), record(datasets=[less | {"digest": "e"}])).datasets["train"]
    assert "lookup" not in found.values[0]


def test_two_datasets_of_one_context_are_told_by_name() -> None:
    two = [{"context": "test", "name": "a", "digest": "1"}, {"context": "test", "name": "b", "digest": "2"}]
    found = runs(record(datasets=two), record(datasets=[two[0], two[1] | {"digest": "3"}]))
    assert list(found.datasets) == ["test/b"]


def test_same_data_under_another_name_explains_little() -> None:
    found = runs(
        record(datasets=[DIGITS], params={"depth": 3}), record(datasets=[DIGITS | {"name": "x"}], params={"depth": 4})
    )
    assert [each.section for each in found.changes] == ["params", "datasets"]


# -- packages, environment, machine ----------------------------------------------------------------------------------------


def test_packages_added_removed_changed_with_the_size_of_the_step() -> None:
    found = runs(
        record(environment=packages(numpy="1.26.4", gone="1.0", six="1.16.0", pip="24.1.2")),
        record(environment=packages(numpy="2.0.1", new="0.1", six="1.15.0", pip="24.1.3")),
    )
    assert {key: (each.kind, each.note) for key, each in found.packages.items()} == {
        "numpy": ("changed", "major, newer"), "gone": ("removed", ""), "new": ("added", ""),
        "six": ("changed", "minor, older"), "pip": ("changed", "patch, newer"),
    }  # fmt: skip
    assert found.changes[0].key == "numpy"
    assert found.environment["packages.numpy"].values == ("1.26.4", "2.0.1")


def test_what_was_not_captured_is_said_and_not_taken_for_removed() -> None:
    found = runs(record("bare"), record("full", environment=packages(numpy="1.0") | {"system": {"cpu": "x"}}))
    assert not found.packages
    assert not found.system
    assert "packages: not captured in bare, so not compared" in found.notes
    assert "packages: not captured in bare" in found.summary()
    assert runs(record(), record()).notes == []


def test_interpreter_arguments_seeds_and_machine() -> None:
    def environment(**changes: Any) -> dict[str, Any]:
        plain = {
            "python": {"python": "3.11.4", "implementation": "cpython", "errors": ["x"]}, "argv": ["train.py"],
            "cwd": "/a", "seeds": {"random_sha256": "1"}, "output": "printed", "traceback": "t",
            "system": {"hostname": "a", "cpu": "c", "gpus": [{"name": "H100"}, {"name": "H100"}], "variables": {"CI": "1"}},
        }  # fmt: skip
        return plain | changes

    other = environment(
        python={"python": "3.12.1", "implementation": "cpython"}, argv=["train.py", "--fast"], cwd="/b", output="else",
        seeds={"random_sha256": "2"}, traceback="u",
        system={"hostname": "b", "cpu": "c", "gpus": [{"name": "A100"}], "variables": {"CI": "2"}},
    )  # fmt: skip
    found = runs(record(environment=environment()), record(environment=other, changes={"entry_point": "other.py"}))
    assert set(found.environment) == {"entry_point", "python", "argv", "cwd", "seeds.random_sha256"}
    assert set(found.system) == {"hostname", "gpus", "variables.CI"}
    order = [each.key for each in found.changes]
    assert order[:3] == ["python", "entry_point", "gpus"]
    assert order[-1] == "variables.CI"
    assert "2 x H100" in found.summary()


def test_duration() -> None:
    found = runs(record(duration_s=10.0), record(duration_s=25.0))
    assert found.duration is not None
    assert (found.duration.values, found.duration.note) == ((10.0, 25.0), "2.5 times as long")
    assert "2.5 times as long" in found.summary()


# -- code ------------------------------------------------------------------------------------------------------------------


def git(commit: str, **changes: Any) -> dict[str, Any]:
    plain = {"commit": commit, "branch": "main", "remote": "r", "dirty": False, "diff_sha256": None, "changed": []}
    return {"git": plain | changes}


def test_commits_that_no_repository_here_has_are_a_range_still() -> None:
    found = runs(record(environment=git("a" * 40)), record(environment=git("b" * 40, branch="x")))
    assert str(found.commit_range) == "aaaaaaaaaa..bbbbbbbbbb"
    assert found.code["commit"].note == "aaaaaaaaaa..bbbbbbbbbb"
    assert found.code["branch"].values == ("main", "x")
    assert found.code_diff == ""


@pytest.mark.parametrize("commit", ["--output=/tmp/x", "HEAD", "a" * 39, 5, None, "a" * 40 + "\n--all"])
def test_what_is_no_commit_never_reaches_git(commit: Any) -> None:
    found = runs(record(environment=git(commit)), record(environment=git("b" * 40)))
    assert found.summary()
    assert found.code_diff == ""


@pytest.fixture
def repository(tmp_path: Path) -> list[str]:
    """A repository around the working directory; the hashes of its three commits."""

    def run(*words: str) -> str:
        identity = ["-c", "user.name=x", "-c", "user.email=x@x"]
        return subprocess.run(["git", *identity, *words], check=True, capture_output=True, text=True).stdout.strip()

    run("init", "-q", "-b", "main")
    commits = []
    for number, file in enumerate(["train.py", "model.py", "train.py"]):
        Path(file).write_text(f"value = {number}\n")
        run("add", ".")
        run("commit", "-q", "-m", f"step {number}")
        commits.append(run("rev-parse", "HEAD"))
    return commits


def test_the_range_of_commits_their_files_and_their_diff(repository: list[str]) -> None:
    found = runs(record(environment=git(repository[0])), record(environment=git(repository[2])))
    between = found.commit_range
    assert between is not None
    assert [subject for _, subject in between.commits] == ["step 2", "step 1"]
    assert [commit for commit, _ in between.commits] == repository[:0:-1]
    assert (between.files, between.n_commits, between.n_files) == (("model.py", "train.py"), 2, 2)
    assert found.code["commit"].note.endswith("2 commits, 2 files: model.py, train.py")
    assert "-value = 0\n+value = 2\n" in found.code_diff
    assert "commit" not in runs(record(environment=git(repository[0])), record(environment=git(repository[0]))).code


def test_uncommitted_changes_by_file_and_the_captured_diff() -> None:
    one = git("a" * 40, diff_sha256="1", changed=["a.py", "b.py"], diff="--- a\n+++ b\n-x = 1\n+x = 2\n")
    other = git("a" * 40, diff_sha256="2", changed=["b.py", "c.py"], diff="--- a\n+++ b\n-x = 1\n+x = 3\n")
    found = runs(record("one", environment=one), record("two", environment=other))
    assert found.code["uncommitted"].values == (["a.py", "b.py"], ["b.py", "c.py"])
    assert found.code["uncommitted"].note == "+c.py, -a.py, ~b.py; the diff was captured"
    assert "-+x = 2\n++x = 3\n" in found.code_diff
    assert "uncommitted in two" in found.code_diff
    clean = runs(record("one", environment=git("a" * 40)), record("two", environment=other))
    assert clean.code_diff == other["git"]["diff"]
    assert clean.code["uncommitted"].values == ([], ["b.py", "c.py"])


def test_long_diffs_are_not_compared_line_by_line() -> None:
    one, other = ("".join(f"+line {number % 7} {end}\n" for number in range(30_000)) for end in ("a", "b"))
    found = runs(
        record(environment=git("a" * 40, diff_sha256="1", diff=one)),
        record(environment=git("a" * 40, diff_sha256="2", diff=other)),
    )
    assert one in found.code_diff
    assert other in found.code_diff


# -- together --------------------------------------------------------------------------------------------------------------


def everything(number: int) -> Any:
    environment = packages(**{f"package{each}": f"{number}.0" for each in range(200)}) | git(f"{number}" * 40)
    environment |= {"python": {"python": f"3.1{number}.0"}, "system": {"gpus": [{"name": f"G{number}"}]}}
    return record(
        f"run{number}",
        number=number,
        params={f"p{each:03}": number for each in range(200)} | {"seed": number},
        metrics={f"acc/{each}": 0.5 + number * each / 1000 for each in range(100)},
        datasets=[DIGITS | {"digest": f"{number}", "content_digest": f"{number}"}],
        environment=environment,
    )


def test_what_changed_is_one_screen_with_the_most_telling_first() -> None:
    found = runs(everything(1), everything(2))
    lines = found.summary().splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 120
    assert lines[0] == "results"
    at = lines.index("what changed")
    assert [line.split()[0] for line in lines[at + 2 : at + 5]] == ["data", "code", "param"]
    assert any(line.startswith("  ... and ") and "of packages" in line for line in lines)
    assert [each.section for each in found.changes[:2]] == ["datasets", "code"]
    sections = [each.section for each in found.changes]
    assert sections.index("params") < sections.index("environment") < sections.index("packages")
    full = found.summary(limit=None)
    assert "package199" in full
    assert "acc/99" in full


def test_the_step_of_a_number_ranks_params_and_a_seed_comes_last() -> None:
    one = record(params={"seed": 1, "model.random_state": 1, "small": 10, "great": 0.001, "text": "a"})
    other = record(params={"seed": 2, "model.random_state": 2, "small": 11, "great": 1.0, "text": "b"})
    assert [each.key for each in runs(one, other).changes] == ["great", "text", "small", "seed", "model.random_state"]


def test_several_runs_stand_side_by_side() -> None:
    found = runs(*(record(f"r{number}", params={"lr": number // 2}, number=number) for number in range(8)))
    assert found.params["lr"].values == (0, 0, 1, 1, 2, 2, 3, 3)
    assert found.to_pandas().loc[0, "r7"] == 3
    assert "r5" in found.summary()


def test_groups_agree_or_vary() -> None:
    def subject(label: str, depth: int) -> Subject:
        params = [{"depth": depth, "seed": seed, "x": 1} for seed in range(3)]
        return Subject(label, [record(params=each, metrics={"acc": 0.5 + each["seed"]}) for each in params])

    found = Comparison([subject("a", 1), subject("b", 2)], [Question("acc", test="welch")])
    assert found.params["depth"].values == (1, 2)
    assert list(found.params) == ["depth"]
    lone = Comparison([Subject("run", [record(params={"seed": 1})], is_group=True), subject("b", 2)], [Question("acc")])
    assert lone.params["seed"].values == (1, Varies(3))


def test_tables_and_plain_data() -> None:
    found = runs(
        record("one", params={"a": 1}, metrics={"acc": 0.5}), record("two", params={"b": [1]}, metrics={"acc": 0.6})
    )
    frame = found.to_pandas()
    assert frame["section"].tolist() == ["metrics", "params", "params"]
    assert frame["one"].tolist()[0] == 0.5
    data = found.to_dict()
    assert data["labels"] == ["one", "two"]
    assert data["metrics"][0]["last"] == [0.5, 0.6]
    assert data["differences"][1]["two"] is None or data["differences"][1]["one"] is None
    odd = runs(record("key", params={"a": 1}), record("note", params={"a": 2})).to_pandas()
    assert odd.loc[0, ["key", "key [0]", "note [1]"]].tolist() == ["a", 1, 2]


def test_nothing_to_compare() -> None:
    with pytest.raises(InvalidValueError, match="two or more"):
        runs(record())
    with pytest.raises(InvalidValueError, match="metric="):
        Comparison([Subject("a", [record()], is_group=True), Subject("b", [record()], is_group=True)])
    same_twice = runs(record(), record())
    assert same_twice.summary() == "nothing differs"
    with pytest.raises(InvalidValueError, match="nothing to draw"):
        same_twice.plot()
