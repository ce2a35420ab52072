from __future__ import annotations

import getpass
import json
import os
import socket
import sys
from pathlib import Path

import psutil
import pytest

from mlops_sdk.capture.redact import looks_secret_name
from mlops_sdk.capture.system import (
    IDENTITY_VARIABLES,
    capture_system,
    cpu_model_in,
    detect_container,
    identity_variables,
)


def test_this_machine() -> None:
    captured = capture_system()
    assert captured["hostname"] == socket.gethostname()
    assert captured["logical_cores"] == os.cpu_count()
    assert captured["memory_bytes"] == pytest.approx(psutil.virtual_memory().total, rel=0.05)
    assert captured["os"]
    assert captured["kernel"]
    assert captured["machine"]
    assert isinstance(captured["gpus"], list)
    assert json.loads(json.dumps(captured)) == captured


def test_a_part_that_fails_costs_that_part_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise OSError("no name for https://joe:hunter22@example.org/")

    monkeypatch.setattr(socket, "gethostname", refuse)
    monkeypatch.setitem(sys.modules, "psutil", None)  # as where it is not installed
    captured = capture_system()
    assert "hostname" not in captured
    assert "physical_cores" not in captured
    assert captured["logical_cores"] == os.cpu_count()
    assert captured["errors"][0] == "hostname: OSError: no name for https://***@example.org/"
    assert captured["errors"][1].startswith("physical_cores: ModuleNotFoundError")


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="users have no numbers here")
def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", refuse)
    assert capture_system()["user"] == f"uid:{os.getuid()}"


def test_only_variables_on_the_list_are_kept_and_their_values_redacted() -> None:
    environment = {
        "SLURM_JOB_ID": "4711",
        "GITHUB_REPOSITORY": "team/code",
        "CI_JOB_URL": "https://joe:hunter22@gitlab.example.org/jobs/1?private_token=hunter22",
        "KAGGLE_USER_SECRETS_TOKEN": "hunter22",
        "KUBERNETES_TOKEN": "hunter22",
        "GITHUB_TOKEN": "hunter22",
        "SLURM_JOB_NODELIST": "n" * 5000,
        "RANK": "",
        "HOME": "/home/joe",
    }
    kept = identity_variables(environment)
    assert kept == {
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NODELIST": "n" * 1024,
        "GITHUB_REPOSITORY": "team/code",
        "CI_JOB_URL": "https://***@gitlab.example.org/jobs/1?***",
    }


def test_no_name_on_the_list_looks_like_a_secret() -> None:
    assert [name for name in IDENTITY_VARIABLES if looks_secret_name(name)] == []
    assert len(set(IDENTITY_VARIABLES)) == len(IDENTITY_VARIABLES)


@pytest.mark.parametrize(
    "files, environment, kind",
    [
        ({}, {}, None),
        ({".dockerenv": ""}, {}, "docker"),
        ({"run/.containerenv": ""}, {}, "podman"),
        ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"proc/1/cgroup": "12:memory:/kubepods/burstable/pod1\n"}, {}, "kubernetes"),
        ({"proc/self/cgroup": "0::/system.slice/docker-abc.scope\n"}, {}, "docker"),
        ({"proc/1/cgroup": "0::/init.scope\n"}, {}, None),
        ({}, {"APPTAINER_CONTAINER": "/images/a.sif"}, "apptainer"),
        ({}, {"container": "systemd-nspawn"}, "systemd-nspawn"),
    ],
)
def test_containers(tmp_path: Path, files: dict[str, str], environment: dict[str, str], kind: str | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert detect_container(tmp_path, environment) == kind


@pytest.mark.parametrize(
    "cpuinfo, model",
    [
        ("processor\t: 0\ncpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7763\nflags\t: a\n", "AMD EPYC 7763"),
        ("processor\t: 0\nBogoMIPS\t: 108\nHardware\t: BCM2835\nModel\t\t: Raspberry Pi 4\n", "Raspberry Pi 4"),
        ("processor\t: 0\ncpu\t\t: POWER9, altivec supported\n", "POWER9, altivec supported"),
        ("processor\t: 0\nBogoMIPS\t: 243\nFeatures\t: fp asimd\n", None),
        ("", None),
    ],
)
def test_the_processor(cpuinfo: str, model: str | None) -> None:
    assert cpu_model_in(cpuinfo) == model
