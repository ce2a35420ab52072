"""G20: nothing is served without a valid token, a known Host and an acceptable Origin, on any route, by any method."""

from __future__ import annotations

import base64
import itertools
import os
import socket
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_sdk.errors import InvalidValueError, NotFoundError
from mlops_sdk.server.app import make_app
from mlops_sdk.server.guard import API, PUBLIC, ROLES, Guard
from mlops_sdk.server.tokens import Tokens
from mlops_sdk.stores.http import credentials
from mlops_sdk.stores.memory import MemoryStore
from tests.server.running import Running, server

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PURGE")
DIGEST = "0" * 64


def ask(
    port: int, method: str, path: str, headers: list[tuple[str, str]], body: bytes = b"", *, version: str = "1.1"
) -> tuple[int, bytes]:
    """One request as it stands, whatever is wrong with it; returns status and the whole answer."""
    lines = [f"{method} {path} HTTP/{version}", *(f"{name}: {value}" for name, value in headers)]
    lines += [f"Content-Length: {len(body)}"] if body else []
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return int(answer.split(b" ", 2)[1]) if answer else 0, answer


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with server(MemoryStore(), tmp_path / "server") as running:
        yield running


def test_every_route_and_method_and_who_may(running: Running, tmp_path: Path) -> None:
    """The matrix: routes x methods x credentials; a route without a role does not even start (next test)."""
    secrets = {role: running.tokens.create(role, role)[1] for role in ("reader", "writer", "admin")}
    revoked, secrets["revoked"] = running.tokens.create("gone", "admin")
    running.tokens.revoke(revoked.id)
    _, secrets["expired"] = running.tokens.create("old", "admin", lasts_s=1e-9)
    given = {
        **{name: [("Authorization", f"Bearer {secret}")] for name, secret in secrets.items()},
        "none": [],
        "empty": [("Authorization", "Bearer ")],
        "wrong": [("Authorization", "Bearer mlops_wrong")],
        "twice": [("Authorization", f"Bearer {secrets['admin']}")] * 2,
        "no scheme": [("Authorization", secrets["admin"])],
        "cookie": [("Cookie", f"token={secrets['admin']}")],
    }
    order = ["reader", "writer", "admin"]
    seen = 0
    paths = sorted({path for _, path in ROLES})
    for path, method, who in itertools.product(paths, METHODS, given):
        role = ROLES.get((method, path))
        url = path.replace("{sha256}", DIGEST)
        status, answer = ask(running.port, method, url, [("Host", "localhost"), *given[who]])
        seen += 1
        where = f"{method} {path} as {who}: {answer[:200]!r}"
        if role == PUBLIC:
            assert status == 200, where
        elif who not in order:
            assert status in (401, 429), where
        elif role is None:
            assert status in (404, 405), where
        elif order.index(who) < order.index(role):
            assert status == 403, where
        else:
            assert status not in (401, 403, 421, 500), where
        assert b"access-control-" not in answer.lower(), where
    for who in ("none", "wrong", "reader"):  # what is not served is not told to those without a token
        status, _ = ask(running.port, "GET", "/nothing", [("Host", "localhost"), *given[who]])
        assert status == (404 if who == "reader" else 429), who
    print(f"G20: {seen} requests, no unexpected answer")


def test_a_route_without_a_role_keeps_the_server_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ROLES, ("POST", f"{API}/find"))
    with pytest.raises(AssertionError, match="routes without a role"):
        make_app(MemoryStore(), tokens=None, uploads=tmp_path)
    monkeypatch.undo()
    monkeypatch.setitem(ROLES, ("GET", "/more"), "reader")
    with pytest.raises(AssertionError, match="roles without a route"):
        make_app(MemoryStore(), tokens=None, uploads=tmp_path)


HOSTS = {
    "localhost": 200,
    "LOCALHOST:80": 200,
    "127.0.0.1:5005": 200,
    "[::1]:5005": 200,
    "evil.com": 421,
    "evil.com:5005": 421,
    "127.0.0.1.evil.com": 421,
    "localhost.": 421,
    "[::1].evil.com": 200,  # not a host at all: nobody can own it
    "localhost@evil.com": 421,
    "": 421,
}


@pytest.mark.parametrize("host", HOSTS)
def test_names_that_the_server_answers_to(running: Running, host: str) -> None:
    authorised = [("Authorization", f"Bearer {running.secret}")]
    status, answer = ask(running.port, "GET", f"{API}/hello", [("Host", host), *authorised])
    assert status in ((HOSTS[host],) if host else (400, 421)), answer
    if status == 421:
        assert b"--allow-host" in answer
    forwarded = [("Host", "localhost"), ("X-Forwarded-Host", host or "x"), *authorised]
    assert ask(running.port, "GET", f"{API}/hello", forwarded)[0] == 200, "what a client says of itself changes nothing"


def test_a_host_is_named_once(running: Running) -> None:
    authorised = [("Authorization", f"Bearer {running.secret}")]
    twice = [("Host", "localhost"), ("Host", "evil.com"), *authorised]
    assert ask(running.port, "GET", f"{API}/hello", twice)[0] == 400
    assert ask(running.port, "GET", f"{API}/hello", authorised)[0] == 400
    assert ask(running.port, "GET", f"{API}/hello", authorised, version="1.0")[0] == 400
    assert ask(running.port, "GET", "http://evil.com/api/v1/hello", [("Host", "evil.com"), *authorised])[0] == 421


@pytest.mark.parametrize(
    "origin, expected",
    [
        ("http://localhost:1", 200),
        ("https://localhost:1", 200),
        ("http://localhost:2", 403),
        ("null", 403),
        ("http://evil.com", 403),
        ("http://localhost:1.evil.com", 403),
        ("http://ok.example", 200),
        ("http://ok.example.evil.com", 403),
    ],
)
def test_pages_that_may_ask(tmp_path: Path, origin: str, expected: int) -> None:
    with server(MemoryStore(), tmp_path / "s", origins=["http://ok.example"]) as running:
        headers = [("Host", "localhost:1"), ("Origin", origin), ("Authorization", f"Bearer {running.secret}")]
        status, answer = ask(running.port, "GET", f"{API}/hello", headers)
        assert status == expected
        assert status != 403 or b"--allow-origin" in answer


def test_forms_of_other_pages_change_nothing(running: Running) -> None:
    basic = base64.b64encode(f"me:{running.secret}".encode()).decode()
    known = [("Host", "localhost"), ("Authorization", f"Basic {basic}")]
    assert ask(running.port, "GET", f"{API}/hello", known)[0] == 200, "a browser reads with HTTP Basic"
    assert ask(running.port, "POST", f"{API}/find", known, b"{}")[0] == 401, "and does nothing else with it"
    bearer = [("Host", "localhost"), ("Authorization", f"Bearer {running.secret}")]
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain"):
        for route in ("find", "batches", "settle"):
            assert ask(running.port, "POST", f"{API}/{route}", [*bearer, ("Content-Type", kind)], b"{}")[0] == 415
    other = [*bearer, ("Sec-Fetch-Site", "cross-site"), ("Content-Type", "application/json")]
    assert ask(running.port, "POST", f"{API}/find", other, b"{}")[0] == 403
    override = [*bearer, ("X-HTTP-Method-Override", "DELETE")]
    assert ask(running.port, "GET", f"{API}/blobs/{DIGEST}", override)[0] == 404


def test_guesses_are_slowed_down(running: Running) -> None:
    wrong = [("Host", "localhost"), ("Authorization", "Bearer guess")]
    answers = [ask(running.port, "GET", f"{API}/hello", wrong) for _ in range(30)]
    assert {status for status, _ in answers[:19]} == {401}
    assert {status for status, _ in answers[20:]} == {429}
    assert b"retry-after" in answers[-1][1].lower()
    right = [("Host", "localhost"), ("Authorization", f"Bearer {running.secret}")]
    assert ask(running.port, "GET", f"{API}/hello", right)[0] == 200, "whoever has a token is not locked out by others"


def test_without_authentication_everything_is_open_and_hosts_are_still_checked(tmp_path: Path) -> None:
    app = make_app(MemoryStore(), tokens=None, uploads=tmp_path)
    assert isinstance(app, Guard)


# -- tokens --------------------------------------------------------------------------------------------------------------


def test_only_hashes_are_kept(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    secrets = [tokens.create("a", role)[1] for role in ("reader", "writer", "admin")]
    content = tokens.path.read_bytes()
    assert not any(secret.encode() in content or secret[6:].encode() in content for secret in secrets)
    assert stat.S_IMODE(os.stat(tokens.path).st_mode) == 0o600
    found = [tokens.check(secret) for secret in secrets]
    assert [each.role for each in found if each] == ["reader", "writer", "admin"]
    assert tokens.check(secrets[0] + "x") is None
    assert tokens.check("") is None


def test_a_token_ends_when_it_is_revoked_or_expires(tmp_path: Path) -> None:
    tokens, elsewhere = Tokens(tmp_path), Tokens(tmp_path)
    token, secret = elsewhere.create("a")
    assert tokens.check(secret) == token
    time.sleep(0.02)
    elsewhere.revoke(token.id)
    assert tokens.check(secret) is None
    assert tokens.check(elsewhere.create("b", lasts_s=1e-9)[1]) is None
    with pytest.raises(NotFoundError):
        tokens.revoke("nobody")
    with pytest.raises(InvalidValueError):
        tokens.create("a", "owner")


def test_tokens_are_found_by_the_address_of_the_server() -> None:
    credentials.keep("http://localhost:5005", "one")
    credentials.keep("https://tracking.lab.org", "two")
    assert credentials.find("http://127.0.0.1:5005/prefix") == credentials.find("http://[::1]:5005") == "one"
    assert credentials.find("https://TRACKING.lab.org:443/x") == "two"
    assert credentials.find("http://tracking.lab.org") is None
    assert stat.S_IMODE(credentials.file().stat().st_mode) == 0o600
    credentials.file().write_text("no JSON")
    assert credentials.find("http://localhost:5005") is None
    for wrong in ("http://user:secret@host", "ftp://host", "http://", "http://host:port"):
        with pytest.raises(InvalidValueError):
            credentials.address(wrong)


def test_a_database_of_tokens_that_is_damaged_lets_nobody_in(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    _, secret = tokens.create("a")
    tokens.path.write_bytes(b"not a database" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        tokens.check(secret)
