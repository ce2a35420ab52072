from __future__ import annotations

import pytest

from mlops_sdk.capture.traceback import LIMIT_BYTES, format_failure


def caught(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:  # noqa: BLE001 - handed back
        return raised


def test_a_failure_reads_as_the_interpreter_prints_it() -> None:
    text = format_failure(caught(ValueError("bad shape")))
    assert text.startswith("Traceback (most recent call last):\n")
    assert f'File "{__file__}", line' in text
    assert text.endswith("ValueError: bad shape\n")


def test_causes_notes_and_groups_are_in_it() -> None:
    error = ExceptionGroup("two", [ValueError("one"), KeyError("other")])
    error.add_note("in epoch 3")
    error.__cause__ = OSError("disk")
    text = format_failure(caught(error))
    for part in ("OSError: disk", "direct cause", "in epoch 3", "ValueError: one", "KeyError: 'other'"):
        assert part in text


def test_secrets_and_local_variables_are_not() -> None:
    def connect(secret_in_a_local: str) -> None:
        raise ConnectionError(f"https://joe:{secret_in_a_local}@db/x said no to API_KEY={secret_in_a_local}")

    with pytest.raises(ConnectionError) as raised:
        connect("hunter" + "22" * 3)  # not whole in the source, which is in the text
    text = format_failure(raised.value)
    assert "hunter2" not in text
    assert "https://***@db/x said no to API_KEY=***" in text


def test_the_middle_of_a_long_one_is_cut() -> None:
    lines = "\n".join(f"row {number}" for number in range(200_000))
    text = format_failure(caught(ValueError(lines)))
    assert len(text.encode()) <= LIMIT_BYTES
    assert text.startswith("Traceback")
    assert text.endswith("row 199999\n")
    assert text.count("cut out") == 1


def test_no_secret_is_cut_in_two() -> None:
    # A kilobyte for each, so that wherever a cut falls, it is likely to fall into one; five shifts settle it.
    for shift in range(0, 1000, 200):
        token = "ghp_" + "aB3dE5gH" * 110
        text = format_failure(caught(ValueError("x" * shift + f" {token}" * 1000)))
        assert "aB3dE5gH" not in text


def test_a_secret_of_several_words_is_cut_after_it_was_found() -> None:
    phrase = "correct horse battery staple " * 60
    text = format_failure(caught(ValueError(f"\npassphrase='{phrase}'" * 60)))
    assert "cut out" not in text
    assert "horse" not in text


def test_text_that_takes_more_bytes_than_characters() -> None:
    text = format_failure(caught(ValueError("é " * 100_000)))
    assert LIMIT_BYTES - 100 < len(text.encode()) <= LIMIT_BYTES


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class HostileError(Exception):
    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        raise RuntimeError("no notes")


def test_an_exception_that_cannot_be_formatted() -> None:
    assert "Unspeakable" in format_failure(caught(UnspeakableError()))
    assert "Hostile" in format_failure(caught(HostileError()))


def test_a_recursion_without_end_is_short() -> None:
    def again() -> None:
        again()

    with pytest.raises(RecursionError) as raised:
        again()
    assert "more times" in format_failure(raised.value)


def test_a_thousand_errors_on_the_way() -> None:
    error: BaseException = ValueError("first")
    for number in range(2000):
        later = ValueError(str(number))
        later.__context__, error = error, later
    text = format_failure(error)
    assert text.endswith("ValueError: 1999\n")


def test_exits_have_a_text_too() -> None:
    assert format_failure(caught(SystemExit(3))).endswith("SystemExit: 3\n")
    assert format_failure(KeyboardInterrupt()) == "KeyboardInterrupt\n"
