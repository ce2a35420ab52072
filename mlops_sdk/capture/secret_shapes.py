"""Secrets that can be told by their shape alone, wherever they stand.

One row per issuer. A pattern only runs over text that contains its start or marker, which keeps clean text cheap. No
pattern has a quantifier inside a quantifier, nor a run that could be scanned again from each of its characters: the time
is linear in the text.

References
----------
.. [1] Prefixes as documented by the issuers; GitHub, "Supported secret scanning patterns".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

HIDDEN = "***"

_AWS_KEY_ID = r"""[A-Z0-9]{16}(?:[\s,:;|"']{1,4}[A-Za-z0-9/+=]{40}(?![A-Za-z0-9/+=]))?"""
_STRIPE = r"[A-Za-z0-9]{10,}"

# A literal start that must not stand in the middle of a word (`risk-`, `shf_`), and what follows it.
_AT_EDGES: tuple[tuple[str, str], ...] = (
    # Clouds and infrastructure; an access key id takes the secret beside it along (the console's CSV has no names)
    ("AKIA", _AWS_KEY_ID),
    ("ASIA", _AWS_KEY_ID),
    ("ABIA", _AWS_KEY_ID),
    ("ACCA", _AWS_KEY_ID),
    ("LTAI", r"[A-Za-z0-9]{12,}"),
    ("do", r"[opr]_v1_[A-Fa-f0-9]{40,}"),
    ("dapi", r"[a-f0-9]{32}"),
    ("hv", r"[bsr]\.[\w-]{20,}"),
    ("sbp_", r"[a-f0-9]{40}"),
    ("dp.", r"(?:pt|st|ct|sa|scim|audit)\.[\w.-]{32,}"),
    ("fm", r"[12][ar]?_[A-Za-z0-9+/=_-]{40,}"),
    # Code hosts and package registries
    ("ATBB", r"[A-Za-z0-9]{24,}"),
    ("npm_", r"[A-Za-z0-9]{30,}"),
    ("cio", r"[A-Za-z0-9]{32}(?![A-Za-z0-9])"),
    ("AKCp", r"[A-Za-z0-9]{50,}"),
    # Models and experiment tracking
    ("sk-", r"(?:proj|svcacct|admin|ant|or|lf|None)-[\w-]{16,}"),
    ("sk-", r"[A-Za-z0-9]{20,}"),
    ("hf_", r"[A-Za-z0-9]{20,}"),
    ("r8_", r"[A-Za-z0-9]{30,}"),
    ("gsk_", r"[A-Za-z0-9]{30,}"),
    ("xai-", r"[A-Za-z0-9]{30,}"),
    ("pplx-", r"[A-Za-z0-9]{30,}"),
    # Services
    ("sk_live_", _STRIPE),
    ("sk_test_", _STRIPE),
    ("rk_live_", _STRIPE),
    ("rk_test_", _STRIPE),
    ("EAA", r"[A-Za-z0-9_-]{50,}"),
    ("shp", r"(?:at|ca|pa|ss|tka)_[A-Fa-f0-9]{32}"),
    ("SK", r"[0-9a-f]{32}(?![0-9a-f])"),
    ("key-", r"[0-9a-f]{32}(?![0-9a-f])"),
    ("NR", r"(?:AK|II|JS|RA)-[A-Za-z0-9-]{20,}"),
    ("ntn_", r"[A-Za-z0-9]{40,}"),
    ("secret_", r"[A-Za-z0-9]{40,}"),
    ("pat", r"[A-Za-z0-9]{14}\.[a-f0-9]{40,}"),
    ("sl.", r"[\w-]{100,}"),
)

# A marker that every such secret contains, and the whole pattern.
_ANYWHERE: tuple[tuple[str, str], ...] = (
    # Code hosts and package registries
    ("gh", r"gh[pousr]_[A-Za-z0-9_]{20,}"),
    ("github_pat_", r"github_pat_[A-Za-z0-9_]{20,}"),
    ("gl", r"gl(?:pat|dt|rt|rtr|cbt|ptt|ft|imt|agent|soat|oas|ffct)-[\w.-]{16,}"),
    ("GR1348941", r"GR1348941[\w-]{16,}"),
    ("TT3", r"AT[AC]TT3[\w=.-]{40,}"),
    ("pypi-", r"pypi-[\w-]{40,}"),
    ("rubygems_", r"rubygems_[A-Fa-f0-9]{40,}"),
    ("dckr_", r"dckr_[po]at_[\w-]{20,}"),
    # Clouds and infrastructure
    ("AIza", r"AIza[\w-]{30,}"),
    ("ya29.", r"ya29\.[\w.-]{20,}"),
    ("GOCSPX-", r"GOCSPX-[\w-]{20,}"),
    ("1//0", r"1//0[\w-]{30,}"),
    ("Q~", r"(?<![\w~.-])[\w~.-]{3}\dQ~[\w~.-]{31,34}"),
    (".atlasv1.", r"\.atlasv1\.[\w-]{40,}"),
    ("pscale_", r"pscale_(?:tkn|pw|oauth)_[\w.=-]{20,}"),
    ("sb_secret_", r"sb_secret_[\w-]{20,}"),
    ("tskey-", r"tskey-[\w-]{20,}"),
    ("HRKU-", r"HRKU-[\w-]{30,}"),
    ("AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[A-Z0-9]{40,}"),
    ("ops_eyJ", r"ops_eyJ[\w.=-]{40,}"),
    # Models and experiment tracking
    ("api_org_", r"api_org_[A-Za-z0-9]{20,}"),
    ("nvapi-", r"nvapi-[\w-]{30,}"),
    ("pcsk_", r"pcsk_[\w]{30,}"),
    ("lsv2_", r"lsv2_(?:pt|sk)_[\w]{30,}"),
    ("wandb_v1_", r"wandb_v1_[\w-]{20,}"),
    ("KGAT_", r"KGAT_[A-Za-z0-9]{20,}"),
    # Services
    (":AA", r"(?<![0-9])(?:bot)?\d{8,10}:AA[\w-]{30,}"),
    ("xox", r"xox[abeoprs]-[\w.-]{10,}"),
    ("xapp-", r"xapp-[\w-]{20,}"),
    ("hooks.slack.com/", r"(?<=hooks\.slack\.com/)(?:services|workflows|triggers)/[\w/-]{10,}"),
    ("/api/webhooks/", r"(?<=/api/webhooks/)[\w/-]{10,}"),
    (".", r"[MNO](?<![\w.-][MNO])[\w-]{23,25}\.[\w-]{6}\.[\w-]{27,}"),
    ("whsec_", r"whsec_[A-Za-z0-9+/=]{20,}"),
    ("sq0", r"sq0[a-z]{3}-[\w-]{20,}"),
    ("SG.", r"SG\.[\w.-]{32,}"),
    ("-us", r"(?<![0-9A-Za-z])[0-9a-f]{32}-us\d{1,2}(?!\d)"),
    ("glsa_", r"glsa_[\w]{30,}"),
    ("glc_", r"glc_[A-Za-z0-9+/=]{30,}"),
    ("PMAK-", r"PMAK-[a-f0-9-]{40,}"),
    ("lin_", r"lin_(?:api|oauth)_[A-Za-z0-9]{30,}"),
    ("sntry", r"sntry[su]_[\w+/=-]{40,}"),
    ("/t/", r"(?<=/t/)(?:\w{2}-)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    # Signed JSON, whoever issued it: `eyJ` is the base64 of `{"`
    ("eyJ", r"eyJ[\w.=-]{16,}"),
)


def _at_edge(start: str, rest: str) -> str:
    r"""The pattern of a row of `_AT_EDGES`.

    An escaped line end, a percent escape or the end of a colour code before the start is no word. What looks back stands
    behind the literal start, because the search for a literal is fast.
    """
    start = re.escape(start)
    edges = rf"(?<![A-Za-z0-9]{start})|(?<=\\[nrt]{start})|(?<=%[0-9A-Fa-f]{{2}}{start})|(?<=[0-9\[]m{start})"
    return rf"{start}(?:{edges}){rest}"


SHAPES = tuple(
    (marker, re.compile(pattern, re.ASCII))
    for marker, pattern in (*((start, _at_edge(start, rest)) for start, rest in _AT_EDGES), *_ANYWHERE)
)


_SCHEME = re.compile(r"([bB](?<!\w[bB])(?i:earer|asic))([ \t]{1,4})([A-Za-z0-9._~+/=-]{8,})")
_LOGIN = re.compile(r"(\blogin[ \t]++\S++[ \t]++password[ \t]++)\S++", re.IGNORECASE)
_CONDA = re.compile(r"(conda[\w.-]{0,80}/t/)[\w.-]+")
_USERINFO = re.compile(r"""(?<![^\s"'`=(,;\\])([\w.%+-]++):([^\s:@/"'`]{4,}+)@(?!sha\d)(?=[\w\[(])""")
_NO_USERS = frozenset({"mailto", "npm", "sip"})


def hide_shapes(text: str) -> str:
    """`text` with every secret of a known shape replaced by ``***``."""
    for marker, pattern in SHAPES:
        if marker in text:
            text = pattern.sub(HIDDEN, text)
    text = _SCHEME.sub(_hide_scheme, text)
    for marker, pattern, hide in _KEPT_STARTS:
        if marker in text:
            text = pattern.sub(hide, text)
    return text


def _hide_scheme(match: re.Match[str]) -> str:
    scheme, gap, value = match.groups()
    is_secret = _is_basic(value) if scheme.lower() == "basic" else not _is_prose(value)
    return f"{scheme}{gap}{HIDDEN}" if is_secret else match.group()


def _is_prose(value: str) -> bool:
    """Whether it is a word: "bearer authentication"."""
    return value[1:].islower() and not any(character.isdigit() for character in value)


def _is_basic(value: str) -> bool:
    """Whether it is base64 of ``user:password``: "basic TransformerLayer" is not."""
    try:
        return b":" in base64.b64decode(value + "=" * (-len(value) % 4))
    except ValueError:
        return False


def _hide_after_start(match: re.Match[str]) -> str:
    return f"{match.group(1)}{HIDDEN}"


def _hide_userinfo(match: re.Match[str]) -> str:
    user = match.group(1)
    return match.group() if user in _NO_USERS else f"{user}:{HIDDEN}@"


_KEPT_STARTS: tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    ("login", _LOGIN, _hide_after_start),
    ("/t/", _CONDA, _hide_after_start),
    ("@", _USERINFO, _hide_userinfo),
)


_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----")
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----")
# In a string's repr or in JSON the line ends of a key are escaped.
_LINE_END = re.compile(r"(\r?\n|\\r\\n|\\n)")
_BASE64_LINE = re.compile(r"[A-Za-z0-9+/=]*|\*\*\*")


def hide_private_keys(text: str) -> str:
    """`text` without the bodies of PEM private keys, complete or cut at either end."""
    if "PRIVATE KEY" not in text:
        return text
    pieces: list[str] = []
    at = 0
    while end := _PEM_END.search(text, at):
        begin = _PEM_BEGIN.search(text, at, end.start())
        pieces.append(f"{text[at : begin.end()]}{HIDDEN}" if begin else _without_body(text[at : end.start()]))
        pieces.append(end.group())
        at = end.end()
    begin = _PEM_BEGIN.search(text, at)
    pieces.append(f"{text[at : begin.end()]}{HIDDEN}" if begin else text[at:])
    return "".join(pieces)


def _without_body(text: str) -> str:
    """`text` without the base64 lines at its end: a key whose beginning was cut off."""
    parts = _LINE_END.split(text)
    kept = len(parts)
    while kept and (_LINE_END.fullmatch(parts[kept - 1]) or _BASE64_LINE.fullmatch(parts[kept - 1].strip())):
        kept -= 1
    return f"{''.join(parts[:kept])}\n{HIDDEN}\n" if any(parts[kept:]) else text
