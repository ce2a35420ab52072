from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_sdk.capture.redact import looks_secret_name, redact_argv, redact_text, redact_url
from mlops_sdk.capture.secret_shapes import SHAPES
from tests.unit.capture.canaries import MAKERS, PREFIXED, Canary, canaries

CANARIES = canaries(1000, seed=20)

# --- secrets ---------------------------------------------------------------------------------------------------------


def surroundings(text: str) -> Iterator[str]:
    yield text
    yield f"epoch 3: loss=0.1\n{text}\nepoch 4"
    yield f"ERROR [worker 7] {text} (attempt 2)"
    yield repr(f"first\n{text}\nlast")


def test_there_are_a_thousand_canaries_of_more_than_forty_shapes() -> None:
    assert len(CANARIES) == 1000
    assert len({canary.shape for canary in CANARIES}) == len(MAKERS) >= 40


def test_no_canary_survives_in_text() -> None:
    survivors = [
        (canary.shape, text, redacted)
        for canary in CANARIES
        for text in surroundings(canary.text)
        if canary.survives_in((redacted := redact_text(text)).replace("\\", ""))
    ]
    assert survivors == []


def test_no_canary_survives_on_a_command_line() -> None:
    def lines(canary: Canary) -> Iterator[list[str]]:
        yield ["train.py", "--note", canary.text, "--lr", "0.1"]
        yield ["train.py", f"--env={canary.text}"]
        if canary.shape.startswith("option"):
            yield ["train.py", *canary.text.split(" "), "--lr", "0.1"]
        yield ["sh", "-c", f"echo {canary.text} | tee log"]
        yield ["train.py", "--password", canary.secret]
        yield ["train.py", "token:", canary.secret]
        yield ["train.py", "Bearer", "t0" + re.sub(r"[^A-Za-z0-9]", "", canary.secret)]
        yield ["train.py", f"++trainer.api_key={canary.secret}"]

    survivors = [
        (canary.shape, line)
        for canary in CANARIES
        for line in lines(canary)
        if canary.survives_in("\n".join(redact_argv(line)))
    ]
    assert survivors == []


def test_no_canary_survives_in_a_url() -> None:
    def urls(canary: Canary) -> Iterator[str]:
        plain = re.sub(r"[^\w.~-]", "", canary.secret)
        yield f"https://{plain}@example.org/a"
        yield f"https://joe:{canary.secret}@example.org/a"
        yield f"https://example.org/a?token={canary.secret}"
        yield f"https://example.org/a#{canary.secret}"
        yield f"joe:{plain}@example.org:a/b.git"
        if canary.shape in PREFIXED:
            yield f"https://example.org/download/{canary.text.rpartition('://')[2]}/file"

    survivors = [
        (canary.shape, url, redacted)
        for canary in CANARIES
        for url in urls(canary)
        if canary.survives_in(redacted := redact_url(url))
    ]
    assert survivors == []


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\x1b[32m{}\x1b[0m", id="coloured"),
        pytest.param("a%20{}%20b", id="percent-encoded blank before"),
        pytest.param("key_{}", id="after an underscore"),
        pytest.param("({}),", id="in brackets"),
    ],
)
def test_a_shape_is_found_whatever_stands_before_it(text: str) -> None:
    secret = "hf_" + "aB3dE5gH7jK9" * 3
    assert secret[3:9] not in redact_text(text.format(secret))


def test_the_body_of_a_private_key_goes_however_it_is_cut() -> None:
    body = "\n".join("MIIEow" + "abcdefgh" * 7 for _ in range(3))
    begin, end = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"
    assert redact_text(f"a\n{begin}\n{body}\n{end}\nb") == f"a\n{begin}***{end}\nb"
    assert redact_text(f"a\n{begin}\n{body}") == f"a\n{begin}***"
    assert redact_text(f"loss = 1\n{body}\n{end}\nb") == f"loss = 1\n***\n{end}\nb"


def test_url_credentials_query_and_fragment_are_marked_in_text() -> None:
    assert redact_text("GET https://u:p@h/a?b=c#d failed") == "GET https://***@h/a?*** failed"
    assert redact_text("see https://h/a#part") == "see https://h/a#***"
    assert redact_text("https://a/https://u:p@b/c") == "https://a/https://***@b/c"


def test_a_password_that_ends_the_authority_too_early_is_found() -> None:
    assert redact_text("postgres://u:p/w@h/db") == "postgres://***@h/db"
    assert redact_text("postgres://u:p#w@h:1/db") == "postgres://***@h:1/db"
    assert redact_url("postgres://u:p?w@h/db") == "postgres://h/db"


@pytest.mark.parametrize(
    "url, clean",
    [
        ("https://joe:pw@example.org:8080/a/b?token=1#c", "https://example.org:8080/a/b"),
        ("ssh://git@example.org/a.git", "ssh://example.org/a.git"),
        ("git@example.org:team/code.git", "git@example.org:team/code.git"),
        ("joe:pw@example.org:team/code.git", "example.org:team/code.git"),
        ("https://[::1]:80/x", "https://[::1]:80/x"),
        ("https://u:p w@h/x", "https://h/x"),
        ("https://u:p@[::1]:80/x", "https://[::1]:80/x"),
        ("/home/joe/code.git", "/home/joe/code.git"),
        (r"C:\code\repo", r"C:\code\repo"),
        ("file:///srv/code.git", "file:///srv/code.git"),
        ("", ""),
    ],
)
def test_url(url: str, clean: str) -> None:
    assert redact_url(url) == clean


@pytest.mark.parametrize(
    "argv, redacted",
    [
        (["--token", "abc", "--lr", "1"], ["--token", "***", "--lr", "1"]),
        (["--token=a b c"], ["--token=***"]),
        (["--use-auth-token", "--model", "bert"], ["--use-auth-token", "--model", "bert"]),
        (["--password", "-x9!Q-abc"], ["--password", "***"]),
        (["-u", "joe:pw", "-u", "1000:1000"], ["-u", "joe:***", "-u", "1000:1000"]),
        (["-p", "8080", "-p", "x"], ["-p", "8080", "-p", "x"]),
        (["db.password=a b", "+model.token=x"], ["db.password=***", "+model.token=***"]),
        (["-H", "X-Api-Key: abc"], ["-H", "X-Api-Key: ***"]),
        (["--proxy", "http://u:p@h:1"], ["--proxy", "http://***@h:1"]),
        ([], []),
    ],
)
def test_argv(argv: list[str], redacted: list[str]) -> None:
    assert redact_argv(argv) == redacted


def test_what_cannot_be_encoded_comes_back_escaped() -> None:
    assert redact_argv(["data-\udcff.csv"]) == ["data-\\udcff.csv"]
    assert redact_text("a\0b") == "a\\x00b"


class Rude:
    def __str__(self) -> str:
        raise RuntimeError


def test_the_redactor_fails_closed() -> None:
    assert redact_text(Rude()) == "***"  # type: ignore[arg-type]
    assert redact_url(Rude()) == "***"  # type: ignore[arg-type]
    assert redact_argv(["a", Rude(), "b"]) == ["a", "***"]  # type: ignore[list-item]


# --- what is no secret -----------------------------------------------------------------------------------------------

INNOCENT = [
    "train.py --tokenizer bert --max-tokens 512 --lr 1e-3",
    "--tokenizer bert-base-uncased",
    "--max-tokens 512",
    "/home/joe/data/secrets/train.csv",
    r"C:\Users\joe\tokens\train.csv",
    "commit 945ec5620405e37032ab14bfcb9b3a22e26dfa89",
    "run 018f2b3c-7d4e-7a61-b1c2-3d4e5f607182",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "image:tag@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "https://example.org/a/b.html",
    "http://localhost:4873/@scope/pkg",
    "https://medium.com/@user/a-post",
    "https://[::1]:8080/x",
    "http://{host}:{port}/x",
    "git@github.com:team/code.git",
    "s3://bucket/prefix/part-0001.parquet",
    "pad_token_id=0 eos_token='</s>' bos_token: <s> num_tokens=12 tokens=3.5e9",
    "{'pad_token': '[PAD]', 'mask_token': '[MASK]', 'max_new_tokens': 20}",
    "token: 512, token_embedding=3, tokens_per_second: 8123.5",
    "Epoch 3/10 loss=0.123 token_acc=0.9 lr=1e-05",
    "sort_key=name primary_key: id cache_key='x' rng_key=1 key=3",
    "pass@1: 0.45 first_pass=3 Passed: 12",
    "author: joe authors=[] authorized=yes secretary: ann",
    "use_auth_token=True token=None password=None",
    "password_file=/run/x token_url: https://example.org/t secret_name=db",
    "the bearer of bad news, bearer authentication, basic training",
    "PWD=/home/joe OLDPWD=/tmp",
    "std::token::kind and a::token::b",
    "risk-assessment-model-v2-large sk-learn-model-2024-large-v2 task-0123456789abcdefghij",
    "uid 1000:1000, 12:30:45, ratio 3:4, x[1:n] @ w",
    "joe@example.org wrote to mailto:ann@example.org",
    "pip install torch==2.4.0 numpy>=1.26 'pkg[extra]'",
    "columns: ['token', 'pos', 'label']",
    'File "/app/train.py", line 3, in fit\n    loss = self.step(batch)',
    "ResNet(layers=[3, 4, 6, 3], key_dim=64, session_key_dim=3)",
]


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_text_stays(text: str) -> None:
    assert redact_text(text) == text
    assert redact_argv(text.split(" ")) == text.split(" ")


@pytest.mark.parametrize("name", ["hf_token", "HF-Token", "hfToken", "HF_TOKEN", "token2", "x-goog-api-key", "DB_PASS",
                                  "AccountKey", "SOME_VENDOR_KEY", "secret_id", "GITHUB_PAT", "TELEGRAM_BOT_TOKEN",
                                  "SYSTEM_ACCESSTOKEN", "refresh_tokens", "passphrase", "Set-Cookie", "MLOPS_TOKEN"])  # fmt: skip
def test_secret_names(name: str) -> None:
    assert looks_secret_name(name)


@pytest.mark.parametrize("name", ["", "---", "tokenizer", "max_tokens", "pad_token_id", "key", "SORT_KEY", "key_dim",
                                  "password_file", "no_password", "author", "pattern", "monkey", "keyboard", "compass",
                                  "secretary", "token_type_ids", "subtoken", "n_tokens", "PUBLIC_KEY"])  # fmt: skip
def test_innocent_names(name: str) -> None:
    assert not looks_secret_name(name)


# --- properties ------------------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    ["token", "password", "=", ":", " ", "'", '"', "\\", "--", "://", "@", "a", "/", "?", "#", "***", "Bearer ", "{", "]",
     "\n", ",", "eyJ" + "a" * 20, "1", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "\u00e9", ">", "<"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=12).map("".join))
def test_redacting_again_changes_nothing(text: str) -> None:
    once = redact_text(text)
    assert redact_text(once) == once


@given(st.text(max_size=200))
def test_any_text_gives_text_that_can_be_stored(text: str) -> None:
    assert json.loads(json.dumps(redact_text(text).encode().decode())) == redact_text(text)


# --- time ------------------------------------------------------------------------------------------------------------

ADVERSARIAL = [
    "a", " ", "-", ".", "=", ":", "@", '"', "'", "\\", "\\\"", "://", "://a:", "://a:b@", "a:b@", "a:bbbb,", "a=", "a='",
    "token=", "token='", 'token="\\', "token=[", "token={(", "--token ", "--token --", "token: str = ", "'password', '",
    "<password>", "Authorization: ", "Cookie:'", "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "eyJ", "eyJ.",
    "sk-", "SG.", "hf_", "AKIA", "login ", "login a password ", "conda/t/", "1:AA", "M" * 24 + ".", "Q~", "-us1", "Bearer ",
    "aB", "A", "token_", "?", "\n", "token=\n", "MII\n", "\\n", "[?", "`",
]  # fmt: skip


def seconds(text: str) -> float:
    def once() -> float:
        started = time.process_time()
        redact_text(text)
        redact_argv([text])
        redact_url(text)
        return time.process_time() - started

    return min(once() for _ in range(2))


@pytest.mark.parametrize("unit", ADVERSARIAL)
def test_time_grows_with_the_text_and_not_with_its_square(unit: str) -> None:
    short, long = (unit * (size // len(unit)) for size in (1_500, 12_000))
    # Eight times the text: 8 where it is linear, 64 where it is quadratic. Below 20 ms there is nothing to measure.
    assert seconds(long) < max(24 * seconds(short), 0.02)


@pytest.mark.slow
def test_fifty_kilobytes_of_anything_take_less_than_a_second() -> None:
    slowest = max((seconds(unit * (50_000 // len(unit))), unit) for unit in ADVERSARIAL)
    assert slowest < (1.0, "")


def test_no_pattern_repeats_a_repetition() -> None:
    """`(a+)+` and its like: the parse trees are looked at, not the time."""
    from mlops_sdk.capture import redact, secret_names, secret_shapes

    patterns = {pattern.pattern for _, pattern in SHAPES}
    for module in (redact, secret_names, secret_shapes):
        found = [value for value in vars(module).values() if isinstance(value, re.Pattern)]
        patterns |= {pattern.pattern for pattern in found}
    assert len(patterns) > 80
    assert [pattern for pattern in patterns if _repeats_a_repetition(pattern)] == []
    assert _repeats_a_repetition(r"x(?:a+b?)*")


def _repeats_a_repetition(pattern: str) -> bool:
    parser = re._parser  # type: ignore[attr-defined]
    repeats = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}

    def search(node: object, inside: bool) -> bool:
        if isinstance(node, tuple) and len(node) == 2 and str(node[0]) in repeats:
            _, most, body = node[1]
            many = most == parser.MAXREPEAT
            return (inside and many) or search(body, inside or many)
        if isinstance(node, (tuple, list, parser.SubPattern)):
            return any(search(child, inside) for child in node)
        return False

    return search(parser.parse(pattern), False)


def test_random_bytes_of_a_megabyte_are_no_trouble() -> None:
    rng = random.Random(1)
    text = rng.randbytes(1 << 17).decode("latin-1")
    assert redact_text(text).encode()
