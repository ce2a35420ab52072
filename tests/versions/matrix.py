"""`make test-versions`: the fingerprint tests in environments of older and newest releases.

The committed vectors and the containers must say the same digests in every one. The environments lie in
``.venv-versions/``; one that was made for the same requirements is used again. An interpreter that is not there is
passed over, and said; the exit status is 1 where a test failed, or where no environment could be tried.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".venv-versions"
FOLDER = Path("tests", "unit", "fingerprint")
RELEASES = ("test_vectors.py", "test_containers.py", "test_values.py", "test_collisions.py")
GUESTS = ("test_guests.py",)
TOOLS = ["pytest>=8.3", "pytest-randomly>=3.16", "pytest-timeout>=2.3", "hypothesis>=6.130"]

# The oldest releases that pyproject.toml allows, some from between, and the newest that the interpreter can have. No
# `mlops_sdk` itself: of what it depends on, only what a fingerprint imports. Last, libraries whose objects are taken, and
# which are too large, or bring too much, for the environment of all tests.
MATRIX: dict[str, tuple[str, tuple[str, ...], list[str]]] = {
    "oldest": ("3.11", RELEASES, [
        "numpy==1.26.*", "pandas==2.2.*", "polars==1.0.*", "pyarrow==15.*", "duckdb==1.1.*", "nanoarrow==0.6.*",
        "narwhals==2.0.*", "blake3==1.0.0",
    ]),
    "between": ("3.12", RELEASES, [
        "numpy==2.2.*", "pandas==2.3.*", "polars==1.20.*", "pyarrow==19.*", "duckdb==1.2.*", "nanoarrow", "narwhals", "blake3",
    ]),
    "newest": ("3.13", RELEASES, ["numpy", "pandas>=3", "polars>=2", "pyarrow", "duckdb", "nanoarrow", "narwhals", "blake3"]),
    "guests": ("3.11", GUESTS, ["--editable", str(ROOT), "pandas", "polars", "pyarrow", "mlflow-skinny", "xarray"]),
}  # fmt: skip


def interpreter(minor: str) -> str | None:
    """The first interpreter of a minor version that really runs: a pyenv shim answers only when it is selected."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    own = [sys.executable] if minor == f"{sys.version_info.major}.{sys.version_info.minor}" else []
    for candidate in [*own, f"python{minor}", *map(str, sorted(pyenv.glob(f"{minor}.*/bin/python")))]:
        if shutil.which(candidate) is None:
            continue
        asked = subprocess.run(
            [candidate, "-c", "import sys; print(*sys.version_info[:2], sep='.')"], capture_output=True, text=True
        )
        if asked.stdout.strip() == minor:
            return candidate
    return None


def python_of(name: str, minor: str, requirements: list[str]) -> Path | None:
    """The environment's interpreter, made where it is not there; None without that version of Python."""
    home = ENVIRONMENTS / name
    stamp, wanted = home / "requirements.txt", "\n".join([minor, *requirements, *TOOLS])
    python = home / "bin" / "python"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    base = interpreter(minor)
    if base is None:
        return None
    uv = [sys.executable, "-m", "uv", "--quiet", "--no-config"]
    subprocess.run([*uv, "venv", "--clear", "--python", base, str(home)], check=True)
    subprocess.run([*uv, "pip", "install", "--python", str(python), *requirements, *TOOLS], check=True)
    stamp.write_text(wanted, encoding="utf-8")
    return python


def tried(name: str, python: Path, tests: tuple[str, ...], arguments: list[str]) -> bool:
    """Run the tests in an environment."""
    shown = "import sys, numpy, pandas, polars, pyarrow; print(f'Python {sys.version.split()[0]}', *(f'{m.__name__} {m.__version__}' for m in (numpy, pandas, polars, pyarrow)), sep=', ')"
    print(
        f"== {name}: {subprocess.run([python, '-c', shown], capture_output=True, text=True, check=True).stdout}",
        end="",
        flush=True,
    )
    command = [
        str(python),
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--randomly-seed=1",
        *(str(FOLDER / test) for test in tests),
        *arguments,
    ]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}).returncode == 0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make test-versions", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"environments; default all: {', '.join(MATRIX)}")
    chosen, rest = parser.parse_known_args(arguments)
    unknown = set(chosen.names) - set(MATRIX)
    if unknown:
        parser.error(f"no environment {', '.join(sorted(unknown))}; there are {', '.join(MATRIX)}")
    results: dict[str, bool | None] = {}
    for name in chosen.names or MATRIX:
        began = time.perf_counter()
        minor, tests, requirements = MATRIX[name]
        python = python_of(name, minor, requirements)
        results[name] = None if python is None else tried(name, python, tests, rest)
        said = {None: f"no Python {minor} here: not tried", True: "passed", False: "FAILED"}[results[name]]
        print(f"== {name}: {said} ({time.perf_counter() - began:.0f} s)", flush=True)
    return int(False in results.values() or True not in results.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
