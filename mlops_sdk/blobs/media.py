"""Media types by file name, the same on every machine."""

from __future__ import annotations

from functools import cache
from mimetypes import MimeTypes
from posixpath import splitext

DEFAULT_MEDIA_TYPE = "application/octet-stream"

# What `mimetypes` lacks, calls by an old name, or changed between Python versions. A compressed file is what it is on
# the disk: `mimetypes` would call x.csv.gz "text/csv" with an encoding, which is a statement about transfers.
_TYPES = {
    ".arrow": "application/vnd.apache.arrow.file",
    ".br": "application/x-brotli",
    ".bz2": "application/x-bzip2",
    ".feather": "application/vnd.apache.arrow.file",
    ".gz": "application/gzip",
    ".ipynb": "application/x-ipynb+json",
    ".joblib": "application/x-joblib",
    ".js": "text/javascript",
    ".jsonl": "application/jsonl",
    ".log": "text/plain",
    ".markdown": "text/markdown",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".ndjson": "application/x-ndjson",
    ".npy": "application/x-npy",
    ".npz": "application/x-npz",
    ".onnx": "application/x-onnx",
    ".parquet": "application/vnd.apache.parquet",
    ".pkl": "application/x-pickle",
    ".pickle": "application/x-pickle",
    ".pt": "application/x-pytorch",
    ".pth": "application/x-pytorch",
    ".safetensors": "application/x-safetensors",
    ".svgz": "application/gzip",
    ".tgz": "application/gzip",
    ".toml": "application/toml",
    ".wav": "audio/wav",
    ".webp": "image/webp",
    ".xz": "application/x-xz",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".z": "application/x-compress",
    ".zst": "application/zstd",
}


def guess_media_type(name: str) -> str:
    """Guess the media type of an artifact from the last extension of its name.

    Parameters
    ----------
    name : str
        An artifact name; only the text after the last dot of its last part counts, in any case. Never read as a URL
        or a path.

    Returns
    -------
    str
        A media type such as ``"text/csv"``; `DEFAULT_MEDIA_TYPE` where the extension says nothing.

    Notes
    -----
    A guess from the name, not a check of the bytes. Depends on no file or registry of the machine.

    References
    ----------
    .. [1] https://www.iana.org/assignments/media-types
    """
    extension = splitext(name)[1].lower()
    return _TYPES.get(extension) or _standard_types().get(extension, DEFAULT_MEDIA_TYPE)


@cache
def _standard_types() -> dict[str, str]:
    # a database of our own: the module-level functions answer from the machine's mime.types and registry
    return MimeTypes(filenames=()).types_map[True]
