"""Secrets of many shapes, made up when a test runs: none stands in the repository."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable
from typing import NamedTuple

ALNUM = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits
URLSAFE = ALNUM + "-_"
BASE64 = ALNUM + "+/"
PASSWORD = ALNUM + "!#$%^&*+-_.~/?:"


class Canary(NamedTuple):
    """A secret, and the least text by which it can be told for one."""

    shape: str
    text: str
    secret: str

    def survives_in(self, output: str) -> bool:
        """Whether six characters in a row of it are there, the fixed start of its shape left aside."""
        return any(self.secret[at : at + 6] in output for at in range(len(self.secret) - 5))


def some(rng: random.Random, alphabet: str, length: int) -> str:
    return "".join(rng.choices(alphabet, k=length))


# Told by its shape alone: a fixed start, an alphabet, a length.
PREFIXED: dict[str, tuple[str, str, int]] = {
    "aws access key id": ("AKIA", UPPER, 16),
    "aws temporary key id": ("ASIA", UPPER, 16),
    "alibaba": ("LTAI", ALNUM, 20),
    "github classic": ("ghp_", ALNUM, 36),
    "github oauth": ("gho_", ALNUM, 36),
    "github server": ("ghs_", ALNUM, 36),
    "github fine-grained": ("github_pat_", ALNUM + "_", 82),
    "gitlab": ("glpat-", URLSAFE, 20),
    "gitlab deploy": ("gldt-", URLSAFE, 20),
    "bitbucket": ("ATBB", ALNUM, 32),
    "atlassian": ("ATATT3", URLSAFE, 180),
    "npm": ("npm_", ALNUM, 36),
    "pypi": ("pypi-", URLSAFE, 150),
    "rubygems": ("rubygems_", HEX, 48),
    "docker hub": ("dckr_pat_", URLSAFE, 27),
    "artifactory": ("AKCp", ALNUM, 69),
    "google api": ("AIza", URLSAFE, 35),
    "google oauth": ("ya29.", URLSAFE, 60),
    "google client": ("GOCSPX-", URLSAFE, 28),
    "digitalocean": ("dop_v1_", HEX, 64),
    "databricks": ("dapi", HEX, 32),
    "vault": ("hvs.", URLSAFE, 90),
    "terraform": ("a1b2c3d4e5f6g7.atlasv1.", URLSAFE, 67),
    "planetscale": ("pscale_tkn_", URLSAFE, 43),
    "supabase": ("sbp_", HEX, 40),
    "doppler": ("dp.pt.", ALNUM, 43),
    "tailscale": ("tskey-auth-", URLSAFE, 40),
    "age": ("AGE-SECRET-KEY-1", UPPER, 58),
    "openai": ("sk-", ALNUM, 48),
    "openai project": ("sk-proj-", URLSAFE, 100),
    "anthropic": ("sk-ant-api03-", URLSAFE, 93),
    "hugging face": ("hf_", string.ascii_letters, 34),
    "replicate": ("r8_", ALNUM, 37),
    "groq": ("gsk_", ALNUM, 52),
    "xai": ("xai-", ALNUM, 80),
    "perplexity": ("pplx-", ALNUM, 48),
    "nvidia": ("nvapi-", URLSAFE, 64),
    "pinecone": ("pcsk_", ALNUM + "_", 70),
    "langsmith": ("lsv2_pt_", HEX, 43),
    "slack bot": ("xoxb-", string.digits + "-", 50),
    "slack user": ("xoxp-", ALNUM + "-", 60),
    "slack app": ("xapp-1-", ALNUM + "-", 80),
    "slack webhook": ("https://hooks.slack.com/services/", UPPER, 44),
    "discord webhook": ("https://discord.com/api/webhooks/", URLSAFE, 68),
    "telegram bot": ("1234567890:AA", URLSAFE, 33),
    "stripe": ("sk_live_", ALNUM, 24),
    "stripe restricted": ("rk_test_", ALNUM, 24),
    "stripe webhook": ("whsec_", ALNUM, 32),
    "square": ("sq0atp-", URLSAFE, 22),
    "facebook": ("EAA", ALNUM, 120),
    "shopify": ("shpat_", HEX, 32),
    "sendgrid": ("SG.", URLSAFE, 66),
    "twilio": ("SK", HEX, 32),
    "mailgun": ("key-", HEX, 32),
    "grafana": ("glsa_", ALNUM, 41),
    "new relic": ("NRAK-", UPPER, 27),
    "postman": ("PMAK-", HEX, 58),
    "linear": ("lin_api_", ALNUM, 40),
    "notion": ("ntn_", ALNUM, 46),
    "notion old": ("secret_", ALNUM, 43),
    "sentry": ("sntrys_", ALNUM, 100),
    "jwt": ("eyJhbGciOiJIUzI1NiJ9.", URLSAFE, 120),
}

# Told by what stands around it; the secret itself could be anything.
TEMPLATES: dict[str, tuple[str, str, int]] = {
    "option with =": ("--token={}", PASSWORD, 24),
    "option and value": ("--password {}", ALNUM + "!$%^*+.~/", 24),
    "camel-case option": ("--apiKey={}", PASSWORD, 24),
    "assignment": ("DB_PASSWORD={}", PASSWORD, 20),
    "exported": ("export WANDB_API_KEY={}", HEX, 40),
    "aws secret": ("AWS_SECRET_ACCESS_KEY={}", BASE64, 40),
    "ini": ("aws_session_token = {}", BASE64, 200),
    "yaml": ("client_secret: {}", ALNUM + "~._-", 40),
    "json": ('{{"user": "joe", "password": "{}", "port": 1}}', PASSWORD + " '{}", 20),
    "escaped json": ('{{\\"api_key\\": \\"{}\\"}}', ALNUM, 32),
    "python": ("login(password='{}', retries=3)", PASSWORD + ' "', 20),
    "annotated default": ("def f(token: str = '{}', n: int = 1)", ALNUM, 32),
    "environ": ("os.environ['MY_SECRET'] = '{}'", PASSWORD, 20),
    "argument list": ("['curl', '--password', '{}']", ALNUM + "!$%", 24),
    "header pair": ("('Authorization', 'Token {}')", HEX, 40),
    "bearer": ("Authorization: Bearer {}", ALNUM + "._-", 40),
    "bearer alone": ("sent Bearer {}", ALNUM, 40),
    "api key header": ("X-Api-Key: {}", ALNUM, 32),
    "cookie": ("Cookie: theme=dark; sid={}", ALNUM, 32),
    "url with password": ("https://joe:{}@example.org/a/b", PASSWORD, 16),
    "url with token": ("https://{}@example.org/a/b", ALNUM, 40),
    "url with query": ("https://example.org/a?sig={}&x=1", ALNUM, 40),
    "url with fragment": ("https://example.org/a#access={}", ALNUM, 40),
    "ssh url": ("ssh://joe:{}@example.org/a.git", ALNUM, 16),
    "postgres dsn": ("postgres://joe:{}@db:5432/app", PASSWORD, 16),
    "key-value dsn": ("host=db user=joe password={} dbname=app", ALNUM, 16),
    "odbc": ("Server=db;Uid=joe;Pwd={};", ALNUM, 16),
    "azure storage": ("AccountName=x;AccountKey={}==;EndpointSuffix=y", BASE64, 86),
    "mysql dsn": ("joe:{}@tcp(db:3306)/app", ALNUM, 16),
    "proxy": ("HTTP_PROXY=joe:{}@proxy:3128", ALNUM, 16),
    "npmrc": ("//registry.example.org/:_authToken={}", ALNUM, 36),
    "netrc": ("machine example.org login joe password {}", ALNUM, 20),
    "conda channel": ("https://conda.example.org/t/{}/main", ALNUM, 20),
    "xml": ("<password>{}</password>", ALNUM, 20),
    "list of secrets": ("secrets = ['{}', 'other']", ALNUM, 20),
}


def _prefixed(name: str) -> Callable[[random.Random], Canary]:
    start, alphabet, length = PREFIXED[name]

    def make(rng: random.Random) -> Canary:
        # The last character is no dash or dot: a shape's run may not end in one.
        secret = some(rng, alphabet, length - 1) + some(rng, alphabet.strip("-_."), 1)
        return Canary(name, start + secret, secret)

    return make


def _template(name: str) -> Callable[[random.Random], Canary]:
    template, alphabet, length = TEMPLATES[name]

    def make(rng: random.Random) -> Canary:
        secret = some(rng, ALNUM, 1) + some(rng, alphabet, length - 2) + some(rng, ALNUM, 1)
        return Canary(name, template.format(secret), secret)

    return make


def _basic(rng: random.Random) -> Canary:
    secret = base64.b64encode(f"joe:{some(rng, ALNUM, 18)}".encode()).decode().rstrip("=")
    return Canary("basic", f"sent Basic {secret}", secret)


def _private_key(rng: random.Random) -> Canary:
    lines = [some(rng, BASE64, 64) for _ in range(4)]
    text = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *lines, "-----END RSA PRIVATE KEY-----"])
    return Canary("private key", text, "".join(lines))


def _escaped_private_key(rng: random.Random) -> Canary:
    _, text, secret = _private_key(rng)
    return Canary("private key in json", json.dumps({"data": text}), secret)


def _aws_csv(rng: random.Random) -> Canary:
    secret = some(rng, BASE64, 40)
    return Canary("aws csv", f"AKIA{some(rng, UPPER, 16)},{secret}", secret)


MAKERS: dict[str, Callable[[random.Random], Canary]] = {
    **{name: _prefixed(name) for name in PREFIXED},
    **{name: _template(name) for name in TEMPLATES},
    "basic": _basic,
    "private key": _private_key,
    "private key in json": _escaped_private_key,
    "aws csv": _aws_csv,
}


def canaries(count: int, seed: int) -> list[Canary]:
    """`count` secrets, every shape in turn."""
    rng = random.Random(seed)
    makers = list(MAKERS.values())
    return [makers[at % len(makers)](rng) for at in range(count)]
