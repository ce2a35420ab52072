"""Virtual environments of the systems, the variables of a child, and a network that ends at loopback."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.systems import System

ROOT = Path(__file__).parents[2]
_INSTALL_LIMIT_S = 900
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PIP_CERT", "SSL_CERT_FILE")
"""Variables that a child inherits. No settings of the user's trackers among them."""

_OPT_OUT = {"DO_NOT_TRACK": "1", "SCARF_NO_ANALYTICS": "true", "HF_HUB_OFFLINE": "1", "NO_PROXY": "127.0.0.1,localhost"}


class EnvironmentFailedError(Exception):
    """An environment could not be made."""


def cache_directory() -> Path:
    """Where environments are kept from run to run, outside the checkout."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "mlops_sdk-bench")


def python_of(system: System, cache: Path) -> Path:
    """The interpreter that measures a system: of its own environment, or ours."""
    return cache / _name(system) / "bin" / "python" if system.requires else Path(sys.executable)


def _name(system: System) -> str:
    return system.package


def prepare(system: System, cache: Path, say: Callable[[str], None]) -> None:
    """Make the system's environment, unless it is there with these requirements.

    Raises
    ------
    EnvironmentFailedError
        With the end of what pip said.
    """
    if not system.requires:
        return
    directory, python = cache / _name(system), python_of(system, cache)
    stamp = directory / "requirements"
    wanted = "\n".join((f"{sys.version_info[0]}.{sys.version_info[1]}", *system.requires))
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and python.exists():
        return
    say(f"installing {' '.join(system.requires)} into {directory}")
    cache.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(directory, ignore_errors=True)
    # Byte code is made when it is first needed: a fraction of these packages ever is.
    _run([sys.executable, "-m", "venv", str(directory)])
    _run([str(python), "-m", "pip", "--disable-pip-version-check", "-qq", "install", "--no-compile", *system.requires])
    stamp.write_text(wanted, encoding="utf-8")


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_INSTALL_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentFailedError(f"{' '.join(command[:4])} ... took more than {_INSTALL_LIMIT_S} s") from None
    if done.returncode:
        raise EnvironmentFailedError(f"{' '.join(command[:4])} ...: {(done.stderr or done.stdout)[-500:]}")


def environ_of(system: System, home: Path, place: Path, cache: Path) -> dict[str, str]:
    """Variables of a child: a home directory of its own, the system's settings, and every opt-out."""
    kept = {key: os.environ[key] for key in _KEPT if key in os.environ}
    own = {key: value.format(place=place) for key, value in system.environ.items()}
    return {
        **kept,
        **_OPT_OUT,
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(cache / "byte-code"),  # imports are timed as those of an installed package
        "PYTHONWARNINGS": "ignore",
        **own,
    }


def edition(system: System, cache: Path) -> str:
    """Tells stores apart that different code made: the version, or, of ours, a digest of the sources."""
    if not system.is_ours:
        return version_of(system, cache)
    digest = hashlib.sha256()
    for path in sorted((ROOT / "mlops_sdk").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def version_of(system: System, cache: Path) -> str:
    """The installed version of a system's package."""
    if not system.package:
        return ""
    code = f"import importlib.metadata as m; print(m.version({system.package!r}))"
    done = subprocess.run([python_of(system, cache), "-c", code], capture_output=True, text=True, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else "?"


# -- the network -----------------------------------------------------------------------------------------------------


def isolating_command() -> list[str] | None:
    """What to put before a command so that it has a network of its own, without a way out; None if not allowed here."""
    for command in (["unshare", "-n"], ["unshare", "-rn"]):
        try:
            done = subprocess.run([*command, "true"], capture_output=True, timeout=10)
        except OSError:
            return None
        if done.returncode == 0:
            return command
    return None


def raise_loopback() -> None:
    """Bring up ``lo``, which is down in a new network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
