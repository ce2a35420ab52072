"""Media types by name."""

from __future__ import annotations

import mimetypes
import subprocess
import sys
from pathlib import Path

import pytest

import mlops_sdk
from mlops_sdk.blobs.media import DEFAULT_MEDIA_TYPE, guess_media_type


@pytest.mark.parametrize(
    "name, media_type",
    [
        ("report.html", "text/html"),
        ("plots/roc.png", "image/png"),
        ("data.csv", "text/csv"),
        ("figure.svg", "image/svg+xml"),
        ("config.json", "application/json"),
        ("a.parquet", "application/vnd.apache.parquet"),
        ("a.npy", "application/x-npy"),
        ("a.npz", "application/x-npz"),
        ("a.joblib", "application/x-joblib"),
        ("a.pkl", "application/x-pickle"),
        ("a.pt", "application/x-pytorch"),
        ("a.onnx", "application/x-onnx"),
        ("a.safetensors", "application/x-safetensors"),
        ("a.ipynb", "application/x-ipynb+json"),
        ("a.md", "text/markdown"),
        ("a.yaml", "application/yaml"),
        ("a.toml", "application/toml"),
        ("a.jsonl", "application/jsonl"),
        ("a.arrow", "application/vnd.apache.arrow.file"),
        ("a.feather", "application/vnd.apache.arrow.file"),
    ],
)
def test_the_extension_decides(name: str, media_type: str) -> None:
    assert guess_media_type(name) == media_type
    assert guess_media_type(name.upper()) == media_type


@pytest.mark.parametrize("name", ["data.csv.gz", "x.tgz", "x.tar.gz", "drawing.svgz", "page.html.gz"])
def test_a_compressed_file_is_not_what_it_contains(name: str) -> None:
    assert guess_media_type(name) == "application/gzip"


@pytest.mark.parametrize(
    "name", ["", "model", "x.unknown", ".html", "a.html/b", "data:text/html,x", "data:text/html;base64,x", "x.", "\0"]
)
def test_nothing_known_is_octet_stream(name: str) -> None:
    assert guess_media_type(name) == DEFAULT_MEDIA_TYPE


def test_a_url_is_a_name_like_any_other() -> None:
    assert guess_media_type("http://host/x.csv?y=.html") == "text/html"


def test_the_types_of_the_machine_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "mime.types").write_text("application/x-mine  csv mine parquet\n")
    code = (
        "import mimetypes, sys; mimetypes.init([sys.argv[1]]); mimetypes.add_type('application/x-mine', '.json')\n"
        "from mlops_sdk.blobs.media import guess_media_type as guess\n"
        "print(mimetypes.guess_type('x.mine')[0], *map(guess, ['x.csv', 'x.mine', 'x.parquet', 'x.json']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "mime.types")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(mlops_sdk.__file__).parents[1],
    )
    assert done.stdout.split() == [
        "application/x-mine",
        "text/csv",
        DEFAULT_MEDIA_TYPE,
        "application/vnd.apache.parquet",
        "application/json",
    ]


def test_the_types_of_the_program_are_left_alone() -> None:
    before = mimetypes.guess_type("x.parquet"), mimetypes.guess_type("x.pkl")
    guess_media_type("x.parquet")
    assert (mimetypes.guess_type("x.parquet"), mimetypes.guess_type("x.pkl")) == before
