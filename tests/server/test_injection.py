"""A23: text from outside is a value, never SQL: through Python, through the server, and in every place of a request.

One run for each text of the corpus has it as a param, a tag and a name; so a search for the text finds that run and no
other, unless some of the text was run as SQL.
"""

from __future__ import annotations

import copy
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

import mlops_sdk
from mlops_sdk.conditions import Compare, Every, Field, IsNull, Like, Not, OneOf, Some, is_like
from mlops_sdk.entities import OrderBy, RunQuery
from mlops_sdk.server.guard import API
from mlops_sdk.stores import opening
from mlops_sdk.stores.http import wire
from mlops_sdk.stores.sqlite import find
from mlops_sdk.stores.sqlite.store import SQLiteStore
from tests.server.injection import PAYLOADS
from tests.server.running import server

QUIET: dict[str, Any] = {"capture": False, "system_metrics": False}
MARK = "zqx9"
LOGGED = [text for text in PAYLOADS if "\x00" not in text]  # which no name may hold


@dataclass
class Served:
    """The store, as a directory and behind a server."""

    directory: Path
    uri: str
    secret: str

    def content(self) -> str:
        """A digest of every row of every table."""
        with closing(sqlite3.connect(f"file:{self.directory}/store.db?mode=ro", uri=True)) as connection:
            return hashlib.sha256("\n".join(connection.iterdump()).encode("utf-8", "surrogatepass")).hexdigest()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("injection")
    for number, text in enumerate(LOGGED):
        options = {
            "tracking_uri": place / "store",
            "run_id": f"run{number:03}",
            "name": text,
            "tags": {"t": text},
            **QUIET,
        }
        with mlops_sdk.start_run(**options) as run:
            run.log_params({"p": text, "n": number})
            run.log_param(f"key {text}", "here")
            run.log_metric("m", number)
    mlops_sdk.delete_run("run000", tracking_uri=place / "store")
    opening.close_places()
    store = SQLiteStore(place / "store")
    with server(store, place / "server") as running:
        yield Served(place / "store", running.uri, running.secret)
    store.close()


@pytest.fixture(params=["python", "server"])
def uri(request: pytest.FixtureRequest, served: Served, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLOPS_TOKEN", served.secret)
    return str(served.directory) if request.param == "python" else served.uri


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def found(text: str, uri: str, **options: Any) -> set[str]:
    return {run.run_id for run in mlops_sdk.search_runs(text, tracking_uri=uri, **options)}


@pytest.mark.slow
def test_a_value_finds_the_run_that_has_it_and_no_other(uri: str) -> None:
    alive = {number: text for number, text in enumerate(LOGGED) if number}  # the first is in the trash
    for number, text in enumerate(LOGGED):
        expected = {f"run{each:03}" for each, other in alive.items() if other == text}
        assert expected or not number
        value = quoted(text)
        for asked in (
            f"params.p = {value}",
            f"params.p IN ({value})",
            f"tags.t = {value}",
            f"name = {value}",
            f"not params.p != {value}",
        ):
            assert found(asked, uri) == expected, asked
        like = {f"run{each:03}" for each, other in alive.items() if is_like(other, text)}
        assert found(f"params.p LIKE {value}", uri) == like, text


def test_a_key_in_backticks_is_a_key(uri: str) -> None:
    for number, text in enumerate(LOGGED):
        if number and "`" not in text:
            known = mlops_sdk.get_run(f"run{number:03}", tracking_uri=uri).params
            if f"key {text}" in known:
                assert found(f"params.`key {text}` = 'here'", uri) == {f"run{number:03}"}, text


@pytest.mark.parametrize(
    "frame",
    ["{}", "params.p = '{}'", "params.p = {}", 'params.p = "{}"', "params.{} = 1", "params.`{}` = 1", "params.p = 'a' {}",
     "metrics.m > 1 {}", "metrics.m.{} > 1", "params.p IN ({})", "({}) OR params.p = 'a'", "datasets.{} = 'a'"],
)  # fmt: skip
def test_what_is_put_together_from_text_is_a_filter_or_an_error(uri: str, served: Served, frame: str) -> None:
    before = served.content()
    n_errors = 0
    began = time.monotonic()
    for text in PAYLOADS:
        try:
            assert "run000" not in found(frame.format(text), uri), text
        except mlops_sdk.InvalidValueError:
            n_errors += 1
    assert time.monotonic() - began < 0.25 * len(PAYLOADS), "nothing that was to take long was run"
    assert served.content() == before
    assert not Path("/tmp/owned.db").exists()
    assert n_errors >= 3


def test_an_order_is_a_column_or_an_error(uri: str, served: Served) -> None:
    before = served.content()
    for text in PAYLOADS:
        for order in (text, f"metrics.m {text}", f"metrics.`{text}` DESC", f"start_time; {text}"):
            try:
                found("params.n > 0", uri, order_by=order)
            except mlops_sdk.InvalidValueError:
                continue
    assert served.content() == before


WHOLE = RunQuery(
    experiment="default", run_ids=("run001",), id_like="run001", parent="x", limit=3,
    where=Every((
        Compare(Field("params", "p"), "=", "x"), Not(Like(Field("tags", "t"), "%")), IsNull(Field("metrics", "m", "last")),
        Some((OneOf(Field("attribute", "name"), ("a", "b")), Compare(Field("datasets", "train", "digest"), "=", "abcdefgh"))),
    )),
    order_by=(OrderBy("metrics", "m", "last"),),
)  # fmt: skip


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where texts stand in JSON, names of fields among them."""
    if isinstance(value, str):
        yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from leaves(inner, (*path, key))


@pytest.mark.slow
def test_no_place_of_a_request_is_sql(served: Served) -> None:
    before = served.content()
    body = json.loads(wire.dumps({"query": WHOLE}))
    places = list(leaves(body))
    assert len(places) > 25
    statuses: dict[int, int] = {}
    with requests.Session() as session:
        session.headers.update({"Authorization": f"Bearer {served.secret}", "Content-Type": "application/json"})
        for turn, place in enumerate(places):
            for text in PAYLOADS[turn % 9 :: 9]:
                changed = copy.deepcopy(body)
                at = changed
                for step in place[:-1]:
                    at = at[step]
                at[place[-1]] = text
                answer = session.post(f"{served.uri}{API}/find", data=json.dumps(changed))
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
                assert answer.status_code in (200, 400, 404, 422), (place, text, answer.text)
                assert "run000" not in answer.text
                assert "sql" not in answer.text.lower().replace(json.dumps(text).lower().strip('"'), ""), answer.text
    assert served.content() == before
    assert statuses.get(200, 0) > 40
    print(f"A23: {sum(statuses.values())} requests, {statuses}, 0 rows changed")


def test_statements_hold_placeholders_and_nothing_of_the_text() -> None:
    for text in PAYLOADS:
        odd = text + MARK
        where = Every((
            Compare(Field("params", odd), "=", odd), Like(Field("tags", odd), odd), OneOf(Field("metrics", odd, "max"), (1.0, 2.0)),
            Compare(Field("attribute", "name"), "<", odd), Compare(Field("datasets", odd, "name"), "=", odd),
            OneOf(Field("params", odd), (odd, 5)),
        ))  # fmt: skip
        for order in ((), (OrderBy("metrics", odd, "last"),), (OrderBy("params", odd),), (OrderBy("tags", odd),)):
            query = RunQuery(
                experiment=odd, run_ids=(odd,), id_like=odd, parent=odd, where=where, order_by=order, limit=5
            )
            for statement in find._statements(query):
                sql, values = statement.build(5)
                assert MARK not in sql
                assert sum(MARK in str(value) for value in values.values()) >= 10
