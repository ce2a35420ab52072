r"""Secrets out of command lines, URLs and text, before anything is stored.

Three ways to find one: by its shape (`ghp_...`, a JWT, a private key: `secret_shapes`), by the name before it
(``DB_PASSWORD=``, ``--token``, ``"api_key": ``, ``Authorization:``: `secret_names`), and by its place in a URL (user
information, query, fragment). What is found becomes ``***``. Where a boundary is in doubt too much goes rather than too
little; a secret without shape, name or place, such as a password that a program prints alone on a line, cannot be found.

``-p x`` is left alone: it is a port, a path or a number of processes far more often than a password, and which one cannot
be seen from outside the program.

Nothing here raises, and every function is linear in its input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mlops_sdk.capture.secret_names import Strength, name_strength, words_of
from mlops_sdk.capture.secret_shapes import HIDDEN, hide_private_keys, hide_shapes

__all__ = ["looks_secret_name", "redact_argv", "redact_text", "redact_url"]


def looks_secret_name(name: str) -> bool:
    """Whether a value under this name is to be taken for a secret.

    Parameters
    ----------
    name : str
        Of an environment variable, option, parameter, header or field; ``HF_TOKEN``, ``hfToken``, ``hf-token`` are one.

    Returns
    -------
    bool

    Examples
    --------
    >>> looks_secret_name("AWS_SECRET_ACCESS_KEY"), looks_secret_name("max_tokens"), looks_secret_name("tokenizer")
    (True, False, False)
    """
    return name_strength(name) is not Strength.NONE


def redact_text(text: str) -> str:
    r"""`text` without the secrets in it.

    Parameters
    ----------
    text : str
        Output, a traceback, a diff, a command: any length; lone surrogates and NUL come back escaped, so that
        every store takes the result.

    Returns
    -------
    str
        Redacting it again changes nothing.

    Notes
    -----
    Linear in the length: some 30 ms for 64 KiB of output. Fails closed: should a part of it go wrong, the whole becomes ``***``.

    Examples
    --------
    >>> redact_text("fetch https://joe:pw@host/data?sig=1 with --api-key abc, batch_size=8")
    'fetch https://***@host/data?*** with --api-key ***, batch_size=8'
    """
    try:
        return hide_shapes(_hide_named(_hide_urls(hide_private_keys(_storable(text)))))
    except Exception:  # noqa: BLE001 - a redactor that raises would lose the run's record, one that gives up would leak
        return HIDDEN


def redact_url(url: str) -> str:
    """A URL without user information, query and fragment.

    Parameters
    ----------
    url : str
        ``scheme://...``, or what ssh and git take: ``git@host:path`` (keeps its user, who is no secret), or a path.

    Returns
    -------
    str

    Examples
    --------
    >>> redact_url("https://joe:pw@example.org:8080/a/b?token=1#c")
    'https://example.org:8080/a/b'
    >>> redact_url("git@example.org:team/code.git")
    'git@example.org:team/code.git'
    """
    try:
        scheme, mark, rest = _storable(url).strip().partition("://")
        clean = f"{scheme}://{_shown_run(rest, hidden='')}" if mark else _without_scheme(scheme)
        return redact_text(clean)
    except Exception:  # noqa: BLE001 - as in redact_text
        return HIDDEN


def redact_argv(argv: Sequence[str]) -> list[str]:
    """A command line without the secrets in it.

    Parameters
    ----------
    argv : sequence of str
        n arguments, the program first.

    Returns
    -------
    list of str
        n arguments. After ``--password`` the next one is ``***``, whatever it looks like, unless it is an option itself.

    Notes
    -----
    Fails closed: what cannot be read, and all that follows it, is one ``***``.

    Examples
    --------
    >>> redact_argv(["train.py", "--token", "abc", "--lr=0.1", "db.password=a b", "-u", "joe:pw"])
    ['train.py', '--token', '***', '--lr=0.1', 'db.password=***', '-u', 'joe:***']
    """
    redacted: list[str] = []
    before = ""
    try:
        for argument in map(_argument_text, argv):
            redacted.append(_redact_after(before, argument))
            before = argument
    except Exception:  # noqa: BLE001 - as in redact_text
        redacted.append(HIDDEN)
    return redacted


# --- arguments -------------------------------------------------------------------------------------------------------

_OPTION = re.compile(r"--?[A-Za-z][\w.-]*\Z")
# Options are written in lower case or are one letter; a secret that begins with a dash hardly is.
_NEXT_OPTION = re.compile(r"--?(?:[a-z][a-z0-9_.-]*|[A-Za-z])(?:=|\Z)")
_ASSIGNMENT = re.compile(r"(?s)([-+~]*+[\w./@-]++)=(.+)")
_NEXT_OPTION_IN_TEXT = re.compile(r"--?(?:[a-z][a-z0-9_.-]*+|[A-Za-z])(?:[=\s]|\Z)")
_NESTED_LIMIT = 8  # `--env=TOKEN=x` is usual; each level is a look at the whole argument
_USER_OPTIONS = frozenset({"-u", "--user", "--proxy-user", "-U", "--userpwd"})
_USER_AND_PASSWORD = re.compile(r"([^:/\s]+):(?!//)(?!\d+\Z)(.+)", re.DOTALL)


def _argument_text(argument: object) -> str:
    return argument.decode("utf-8", "backslashreplace") if isinstance(argument, bytes) else str(argument)


def _redact_after(before: str, argument: str) -> str:
    if before.lower() in ("bearer", "basic"):
        return redact_text(f"{before} {argument}")[len(before) + 1 :]
    if (_OPTION.match(before) or before.endswith((":", "="))) and not _NEXT_OPTION.match(argument):
        strength = name_strength(before)
        if strength is not Strength.NONE and not _is_plain(before, argument, strength):
            return HIDDEN
        if before in _USER_OPTIONS and (login := _USER_AND_PASSWORD.fullmatch(argument)):
            return redact_text(f"{login.group(1)}:{HIDDEN}")
    return _redact_argument(argument)


def _redact_argument(argument: str) -> str:
    """One argument by itself; in ``name=value`` the value goes to its end, spaces included."""
    names: list[str] = []
    rest = argument
    while len(names) < _NESTED_LIMIT and (assignment := _ASSIGNMENT.fullmatch(rest)):
        name, rest = assignment.groups()
        names.append(name)
        strength = name_strength(name)
        if strength is not Strength.NONE and not _is_plain(name, rest, strength):
            return redact_text("=".join(names)) + f"={HIDDEN}"
    return redact_text(argument)


# --- URLs ------------------------------------------------------------------------------------------------------------

# A quote belongs to the run when something follows that does not look like the end of a quotation.
_RUN = r"""(?:[^\s"'`<>]|["'`](?![\s,;:)\]}>]|\Z))*+"""
_URL = re.compile("://(" + _RUN + ")")
_PORT = re.compile(r"\d+\Z|[{$<%]")
_AUTHORITY_END = re.compile(r"[/?#\\]|\Z")
_REST = re.compile(r"[?#]")


class _Place(NamedTuple):
    """What follows ``://``, taken apart."""

    has_user: bool
    host_and_path: str
    mark: str
    """``?`` or ``#`` where a query or a fragment was."""

    @classmethod
    def of(cls, part: str) -> _Place:
        end = _authority_end(part)
        _, at, host = part[:end].rpartition("@")
        rest = _REST.search(part, end)
        path = part[end : rest.start()] if rest else part[end:]
        return cls(bool(at), host + path, rest.group() if rest else "")

    def shown(self, hidden: str) -> str:
        user = f"{hidden}@" if self.has_user and hidden else ""
        return f"{user}{self.host_and_path}{self.mark + hidden if self.mark and hidden else ''}"


def _authority_end(part: str) -> int:
    """Where host and port end.

    A password with ``/``, ``?`` or ``#`` in it, unescaped, ends the authority too early: what stands where the port should
    is no number then, and an ``@`` follows.
    """
    match = _AUTHORITY_END.search(part)
    end = match.start() if match else len(part)
    _, colon, port = part[:end].partition(":")
    if colon and not part.startswith("[") and "@" not in port and not _PORT.match(port):
        at = part.rfind("@")
        if at > end:
            after = _AUTHORITY_END.search(part, at)
            return after.start() if after else len(part)
    return end


def _hide_urls(text: str) -> str:
    return _URL.sub(_hide_url, text) if "://" in text else text


def _hide_url(match: re.Match[str]) -> str:
    return f"://{_shown_run(match.group(1), hidden=HIDDEN)}"


def _shown_run(run: str, *, hidden: str) -> str:
    """What follows the first ``://``, with `hidden` in place of what was dropped."""
    shown: list[str] = []
    for part in run.split("://"):  # one URL may stand in the path of another
        place = _Place.of(part)
        shown.append(place.shown(hidden))
        if place.mark:
            break
    return "://".join(shown)


def _without_scheme(text: str) -> str:
    head = _REST.split(text, maxsplit=1)[0]
    user, at, host = head.rpartition("@")
    if not at:
        return head
    is_plain_user = re.fullmatch(r"[a-z_][\w-]{0,31}", user) is not None
    return head if is_plain_user else host


# --- names and what they announce ------------------------------------------------------------------------------------

_NAMED = re.compile(
    r"""(?<![\w.-])(?P<escaped>(?<=\\)[nrt](?=[\w.-]))?+(?P<dash>[-.]*+)(?P<name>\w[\w.-]*+)"""
    r"""(?P<close>(?:\\{0,3}["'`])?+[\])]?+)"""
    r"""(?:[ \t]*+(?P<sign>=>|:=|[=!]?=|[:,>])[ \t]*+|(?P<gap>[ \t]++))"""
)
_OPENING = re.compile(r"""[rbfuRBFU]{0,2}(\\{0,3})(\"\"\"|'''|["'`])""")
_STRING_ENDS = {quote: re.compile(rf"(?s:[^{quote}\\\n]|\\.)*+") for quote in "\"'`"}
_VALUE = re.compile(r"""(?:[^\s"'`]|["'`](?![\s,;:)\]}>]|\Z))*+""")
_HEADERS = frozenset({"authorization", "cookie", "cookies"})  # the value goes to the end of the line
_ANNOTATED = re.compile(r"\]?[ ]?(?:\|[ ]?None[ ]?)?=(?!=)[ ]?")
_BRACKET = re.compile(r"[\[\](){}]")
_OPEN_BRACKETS = ("[", "(", "{")
_BRACKET_LIMIT = 2048

_PLAIN_WORDS = frozenset(
    {"true", "false", "none", "null", "nil", "yes", "no", "on", "off", "str", "int", "bool", "float", "bytes", HIDDEN}
)
_DIRECTORY = re.compile(r"/|~|[A-Za-z]:[\\/]")
_NUMBER = re.compile(r"[+-]?(?:\d{1,9}(?:\.\d{0,18})?|\.\d{1,18})(?:[eE][+-]?\d{1,3})?%?")


def _is_plain(name: str, value: str, strength: Strength) -> bool:
    """Whether it cannot be a secret: a truth value; after a weak name a number as well; a working directory."""
    bare = value.strip(" ,;").lower()
    if name in ("PWD", "OLDPWD") and _DIRECTORY.match(value):
        return True
    return bare in _PLAIN_WORDS or (strength is Strength.WEAK and _NUMBER.fullmatch(bare) is not None)


def _hide_named(text: str) -> str:
    """`text` without the values of secret names. `at` only moves forward: that keeps it linear."""
    pieces: list[str] = []
    done = at = 0
    while match := _NAMED.search(text, at):
        at = match.end("name")
        # `\nPASSWORD=` in the repr of a text, `\token=` in a path
        strength = max(name_strength(match["name"]), name_strength((match["escaped"] or "") + match["name"]))
        if strength is Strength.NONE or not _announces(match, text, strength):
            continue
        for start, end in _value_spans(text, match):
            if start < end and not _is_plain(match["name"], text[start:end], strength):
                pieces += (text[done:start], HIDDEN)
                done = at = end
    return "".join([*pieces, text[done:]])


def _announces(match: re.Match[str], text: str, strength: Strength) -> bool:
    """Whether a value follows: `name = x`, `--name x`, `<name>x`, `('name', 'x')`."""
    after = text[match.end() : match.end() + 1]
    is_option = match["dash"] in ("-", "--")
    if match["gap"] is not None:
        return is_option and not match["close"] and _NEXT_OPTION_IN_TEXT.match(text, match.end()) is None
    if match["sign"] == ",":
        return bool(match["close"]) and after in ("'", '"', "\\") and (is_option or strength is Strength.STRONG)
    if match["sign"] == ">":
        return text[max(match.start() - 1, 0)] == "<"
    return not (match["sign"] == after == ":")  # `token::kind` is a path


def _value_spans(text: str, match: re.Match[str]) -> Iterator[tuple[int, int]]:
    start, end = _value_span(text, match)
    yield start, end
    if default := _ANNOTATED.match(text, end):  # `password: str = "x"`
        yield _quoted_or_run(text, default.end())


def _value_span(text: str, match: re.Match[str]) -> tuple[int, int]:
    at = match.end()
    if _OPENING.match(text, at) is None and words_of(match["name"])[-1] in _HEADERS:
        quote = text[max(match.start() - 1, 0)]  # -H 'Cookie: a=b'
        return at, _line_end(text, at, quote if quote in "\"'`" else "")
    return _quoted_or_run(text, at)


def _line_end(text: str, at: int, quote: str) -> int:
    end = text.find("\n", at)
    end = end if end >= 0 else len(text)
    close = text.find(quote, at, end) if quote else -1
    return close if close >= 0 else end


def _quoted_or_run(text: str, at: int) -> tuple[int, int]:
    """Start and end of a value: inside its quotes, up to its closing bracket, or up to white space."""
    opening = _OPENING.match(text, at)
    if opening is not None:
        return opening.end(), _string_end(text, opening.end(), *opening.groups())
    if text[at : at + 1] in _OPEN_BRACKETS:
        return at, _bracket_end(text, at)
    run = _VALUE.match(text, at)
    value = run.group().rstrip(",;)]}>\\") if run else ""
    return at, at + len(value)


def _bracket_end(text: str, at: int) -> int:
    """Where the bracket that opens at `at` is closed; else the end of the line."""
    depth = 0
    for bracket in _BRACKET.finditer(text, at, at + _BRACKET_LIMIT):
        depth += 1 if bracket.group() in _OPEN_BRACKETS else -1
        if depth == 0:
            return bracket.end()
    return _line_end(text, at, "")


def _string_end(text: str, at: int, escape: str, quote: str) -> int:
    """Where a quoted value ends; at the end of the line where its quote is not closed."""
    if not escape and len(quote) == 1:
        string = _STRING_ENDS[quote].match(text, at)
        return string.end() if string else at
    line_end = text.find("\n", at) if len(quote) == 1 else -1
    limit = line_end if line_end >= 0 else len(text)
    close = text.find(escape + quote, at, limit)
    return close if close >= 0 else limit


def _storable(text: str) -> str:
    """`text` that every store takes: arguments and file names may hold lone surrogates, output may hold NUL."""
    text = (text if isinstance(text, str) else str(text)).replace("\0", "\\x00")
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
