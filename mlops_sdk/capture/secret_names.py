"""Which names announce a secret.

A name is cut into words (``HF_TOKEN``, ``hfToken`` and ``hf-token`` are *hf, token*); words decide, not substrings, so that
``tokenizer``, ``max_tokens``, ``author`` and ``pad_token_id`` stay what they are. What is listed errs to the side of
redacting where a name means a secret more often than not, and a value that is plainly no secret (``True``, ``512``) is
let through after the names that training code uses for other things as well (`Strength.WEAK`).
"""

from __future__ import annotations

import enum
import functools
import itertools
import re

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BETWEEN_WORDS = re.compile(r"[\W_]+")
NAME_LIMIT = 256


class Strength(enum.IntEnum):
    """How surely a name announces a secret."""

    NONE = 0
    WEAK = 1
    """The name has innocent meanings too: numbers and truth values are let through."""
    STRONG = 2


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STRONG_ENDINGS = (
    "password", "passwords", "passwd", "passphrase", "passcode", "secret", "secrets", "apikey", "apikeys", "accesskey",
    "secretkey", "privatekey", "authkey", "accountkey", "credential", "credentials", "cookie", "cookies",
    "connectionstring", "connstr", "htpasswd", "pgpass", "sessionid", "sessid",
)  # fmt: skip
_STRONG_STARTS = ("password", "passwd", "passphrase", "secret")
_STRONG = _words("pswd psw creds cred authorization dsn jwt totp otp mnemonic bearer webhook passwort")
_NOT_STRONG = _words("passwordless secretary secretaries secretariat secretion secretions")
_PAIRS = frozenset(
    {
        ("access", "signature"), ("amz", "signature"), ("connection", "string"), ("conn", "str"), ("seed", "phrase"),
        ("recovery", "code"), ("recovery", "codes"), ("access", "code"), ("security", "code"), ("auth", "code"),
        ("verification", "code"), ("pass", "phrase"), ("pass", "word"),
    }
)  # fmt: skip

_KEY_KINDS = _words(
    "api access secret private auth account encryption encrypt decryption signing sign master shared session service "
    "consumer app deploy ssh pgp gpg rsa aes hmac ingest ingestion admin subscription fernet cipher crypto license "
    "licence activation instrumentation client management bot webhook vault unseal recovery jwt cookie token openai "
    "anthropic azure google gemini gcp aws wandb comet neptune hf huggingface github gitlab slack stripe cohere mistral "
    "groq replicate pinecone langsmith langfuse datadog dd sentry twilio sendgrid mailgun kaggle clearml"
)
# `SOMETHING_KEY` in capitals is an environment variable that holds a key, except for these.
_OPEN_KEYS = _words(
    "public primary foreign sort partition cache rng prng random index hash lookup routing shard object config metric "
    "group feature label target image text input output data join unique monitor batch state dict row column param hot"
)

_PASS_OWNERS = _words(
    "db database user smtp ftp mail email admin redis mysql postgres pg root proxy ssh key login http https imap ldap "
    "mongo rabbitmq sudo my default account registry docker nexus artifactory basic"
)
_PAT_OWNERS = _words("github gh gitlab azure devops ado bitbucket ext jira")

# In `X_token`, X says that a piece of text is meant, or a place in a sequence.
_TEXT_TOKENS = _words(
    "pad eos bos unk mask cls sep special image img video audio start end stop first last next prev previous per each "
    "every input output target new added extra prompt word sub a the register class query text begin eot eod eom "
    "decoder blank space mem memory think thinking this by cost bytes ms time loss dist visual patch speech soft virtual "
    "summary global local cut drop no any unexpected invalid expected current middle suffix prefix fim distillation "
    "language lang separator sampled draft generated"
)
# In `token_X`, X says that the value is about tokens.
_ABOUT_TOKENS = _words(
    "id ids type types count counts len length limit size dim dims embedding embeddings emb embed embedder level wise "
    "rate budget mixer mixing shift merging merge drop dropout pooling pool classification classifier per usage cost "
    "price file path url uri endpoint name names expiry expires expire ttl lifetime env var counter stream loss acc "
    "accuracy logprob logprobs prob probs index idx indices pos position positions range window mask labels label map "
    "stats throughput s ms pattern regex format kind source provider bucket sep separator prefix suffix list set num n "
    "max min sum mean avg total weight weights speed latency time norm entropy ratio batch batches dataset "
    "recall precision error errors status method server host review free spec specs"
)
_TOKENS_OWNERS = _words("auth access api bearer refresh secret user service bot github gitlab hf session device push")
_NOT_TOKEN = _words("subtoken detoken untoken nontoken pretoken multitoken megatoken")

# The last word says that the value is about a secret, not the secret.
_NEUTRAL_LAST = _words(
    "file files path paths dir folder name names length len count type types policy field fields env var variable ttl "
    "expiry expires required enabled disabled size arn strength prompt provider store manager backend source format "
    "version age generator regex pattern validator checker error errors status method endpoint server host"
)
# The first word makes a question of it.
_QUESTION_FIRST = _words("no skip without ask prompt require requires has is allow need needs num n max min")


def words_of(name: str) -> list[str]:
    """Lower-case words of a name, digits at their ends dropped."""
    spaced = _CAMEL.sub("_", name).lower()
    return [word.rstrip("0123456789") or word for word in _BETWEEN_WORDS.split(spaced) if word]


def name_strength(name: str) -> Strength:
    """How surely `name` announces a secret; of a very long name the end decides."""
    return _name_strength(name[-NAME_LIMIT:])


@functools.lru_cache(maxsize=4096)
def _name_strength(name: str) -> Strength:
    words = words_of(name)
    if not words:
        return Strength.NONE
    if len(words) > 1 and (words[-1] in _NEUTRAL_LAST or words[0] in _QUESTION_FIRST):
        return Strength.NONE
    if any(_is_strong(word) for word in words) or not _PAIRS.isdisjoint(itertools.pairwise(words)):
        return Strength.STRONG
    if any(_is_key(words, at, name) for at, word in enumerate(words) if word in ("key", "keys")):
        return Strength.STRONG
    return Strength.WEAK if _is_weak(words, name) else Strength.NONE


def _is_strong(word: str) -> bool:
    if word in _NOT_STRONG:
        return False
    return word in _STRONG or word.endswith(_STRONG_ENDINGS) or word.startswith(_STRONG_STARTS)


def _is_key(words: list[str], at: int, name: str) -> bool:
    before = words[at - 1] if at else ""
    if before in _KEY_KINDS:
        # `session_key_dim` is a size
        return at == len(words) - 1 or words[at + 1] not in _ABOUT_TOKENS - {"id"}
    return bool(before) and at == len(words) - 1 and name.isupper() and before not in _OPEN_KEYS


def _is_weak(words: list[str], name: str) -> bool:
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last == "pass":
        return not before or before in _PASS_OWNERS
    if last == "pat":
        return name.isupper() or before in _PAT_OWNERS
    if last in ("pwd", "pw", "auth", "sig"):
        return True
    if last == "tokens":
        return before in _TOKENS_OWNERS
    return any(_is_token(words, at) for at, word in enumerate(words) if word.endswith("token"))


def _is_token(words: list[str], at: int) -> bool:
    if words[at] in _NOT_TOKEN or (words[at] == "token" and at and words[at - 1] in _TEXT_TOKENS):
        return False
    return at == len(words) - 1 or words[at + 1] not in _ABOUT_TOKENS
