"""The machine, and which job, pod or build this process is."""

from __future__ import annotations

import getpass
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_sdk.capture.gpu import gpu_inventory
from mlops_sdk.capture.record import Record
from mlops_sdk.capture.redact import looks_secret_name, redact_text

VALUE_LIMIT = 1024
_TIMEOUT_S = 5.0

# Whole names, never a prefix: `KAGGLE_USER_SECRETS_TOKEN` and `COLAB_JUPYTER_TOKEN` have prefixes as well.
IDENTITY_VARIABLES = (
    # Containers and pods
    "HOSTNAME", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "POD_NAME", "POD_NAMESPACE", "POD_UID", "POD_IP",
    "NODE_NAME",
    # Batch schedulers
    "SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_JOB_PARTITION", "SLURM_JOB_ACCOUNT", "SLURM_JOB_NODELIST",
    "SLURM_JOB_NUM_NODES", "SLURM_CLUSTER_NAME", "SLURM_NTASKS", "SLURM_NODEID", "SLURM_PROCID", "SLURM_LOCALID",
    "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN",
    "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_STEP", "SLURM_RESTART_COUNT",
    "LSB_JOBID", "LSB_JOBINDEX", "LSB_QUEUE", "PBS_JOBID", "PBS_JOBNAME", "PBS_QUEUE", "PBS_ARRAY_INDEX",
    "JOB_ID", "SGE_TASK_ID", "FLUX_JOB_ID", "OAR_JOB_ID", "COBALT_JOBID",
    "AWS_BATCH_JOB_ID", "AWS_BATCH_JOB_ATTEMPT", "AWS_BATCH_JOB_ARRAY_INDEX", "TRAINING_JOB_NAME", "SM_CURRENT_HOST",
    "CLOUD_ML_JOB_ID", "AZUREML_RUN_ID",
    # Continuous integration
    "CI", "GITHUB_ACTIONS", "GITHUB_RUN_ID", "GITHUB_RUN_NUMBER", "GITHUB_RUN_ATTEMPT", "GITHUB_REPOSITORY",
    "GITHUB_SHA", "GITHUB_REF_NAME", "GITHUB_WORKFLOW", "GITHUB_JOB", "GITHUB_ACTOR", "GITHUB_EVENT_NAME",
    "GITLAB_CI", "CI_JOB_ID", "CI_JOB_NAME", "CI_JOB_URL", "CI_PIPELINE_ID", "CI_PROJECT_PATH", "CI_COMMIT_SHA",
    "CI_COMMIT_REF_NAME", "BUILDKITE", "BUILDKITE_BUILD_ID", "BUILDKITE_BUILD_NUMBER", "BUILDKITE_JOB_ID",
    "BUILDKITE_PIPELINE_SLUG", "BUILDKITE_COMMIT", "JENKINS_URL", "JOB_NAME", "BUILD_ID", "BUILD_NUMBER", "BUILD_URL",
    "CIRCLECI", "CIRCLE_BUILD_NUM", "CIRCLE_SHA1", "TRAVIS_JOB_ID", "TF_BUILD", "BUILD_BUILDID", "TEAMCITY_VERSION",
    "DRONE_BUILD_NUMBER", "BITBUCKET_BUILD_NUMBER", "BITBUCKET_COMMIT",
    # Hosted notebooks
    "COLAB_RELEASE_TAG", "COLAB_GPU", "COLAB_BACKEND_VERSION", "KAGGLE_KERNEL_RUN_TYPE", "KAGGLE_CONTAINER_NAME",
    "KAGGLE_DOCKER_IMAGE",
    # Devices and ranks
    "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES",
    "RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT",
    "TORCHELASTIC_RUN_ID", "TORCHELASTIC_RESTART_COUNT", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_RANK",
    "PMI_SIZE", "OMP_NUM_THREADS",
)  # fmt: skip

_CGROUP_MARKS = {
    "kubepods": "kubernetes", "docker": "docker", "libpod": "podman", "containerd": "containerd", "lxc": "lxc",
    "garden": "garden",
}  # fmt: skip


def capture_system() -> dict[str, Any]:
    """Host, user, operating system, processor, memory, GPUs, and what runs this process.

    Returns
    -------
    dict
        ``hostname``, ``user``, ``os`` ("Linux"), ``kernel`` (its release), ``machine`` ("x86_64"), ``cpu`` (model),
        ``physical_cores`` and ``logical_cores`` (int or None), ``usable_cores`` (that this process may use; None where
        unknown), ``memory_bytes``, ``container`` ("docker", "podman", "kubernetes", "apptainer", ..., or None),
        ``variables`` (values of the environment variables named in `IDENTITY_VARIABLES`, redacted, at most 1,024
        characters each), ``gpus`` (see `gpu_inventory`). ``errors`` (reasons as text) only where something failed.

    Notes
    -----
    Never raises. One subprocess on macOS, for the processor's name, ended after 5 s; none elsewhere.
    """
    record = Record()
    record.add("hostname", socket.gethostname)
    record.add("user", _user)
    record.update("os", _operating_system)
    record.add("cpu", _cpu_model)
    record.add("logical_cores", os.cpu_count)
    record.add("usable_cores", _usable_cores)
    record.add("memory_bytes", _memory_bytes)
    record.add("physical_cores", _physical_cores)
    record.add("container", lambda: detect_container(Path("/"), os.environ))
    record.add("variables", lambda: identity_variables(os.environ))
    record.add("gpus", gpu_inventory)
    return record.to_dict()


def identity_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The values that say which job, pod, build or rank this is.

    Parameters
    ----------
    environment : mapping of str to str

    Returns
    -------
    dict
        Only names of `IDENTITY_VARIABLES` that are set; values redacted and cut to 1,024 characters.
    """
    return {
        name: redact_text(environment[name])[:VALUE_LIMIT]
        for name in IDENTITY_VARIABLES
        if environment.get(name) and not looks_secret_name(name)
    }


def detect_container(root: Path, environment: Mapping[str, str]) -> str | None:
    """What kind of container this process runs in.

    Parameters
    ----------
    root : Path
        Of the file system to look at.
    environment : mapping of str to str

    Returns
    -------
    str or None
        None: in none, or in one that does not show.
    """
    if environment.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    if environment.get("APPTAINER_CONTAINER") or environment.get("SINGULARITY_CONTAINER"):
        return "apptainer"
    if (root / "run/.containerenv").exists():
        return "podman"
    if (root / ".dockerenv").exists():
        return "docker"
    groups = _start_of(root / "proc/1/cgroup") + _start_of(root / "proc/self/cgroup")
    named = next((kind for mark, kind in _CGROUP_MARKS.items() if mark in groups), None)
    return named or environment.get("container") or None  # set by systemd-nspawn and LXC


def _start_of(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(1 << 16)
    except OSError:
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container that runs under a number without a name
        if sys.platform == "win32":
            raise
        return f"uid:{os.getuid()}"


def _operating_system() -> dict[str, str]:
    # Not `platform.uname()`: it may start a program to learn what nobody asks for here.
    if sys.platform == "win32":
        version = sys.getwindowsversion()
        kernel = f"{version.major}.{version.minor}.{version.build}"
        return {"os": "Windows", "kernel": kernel, "machine": os.environ.get("PROCESSOR_ARCHITECTURE", "")}
    name = os.uname()
    return {"os": name.sysname, "kernel": name.release, "machine": name.machine}


def _cpu_model() -> str | None:
    if sys.platform == "darwin":
        command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True).stdout.strip()
    if sys.platform == "win32":
        return os.environ.get("PROCESSOR_IDENTIFIER")
    return cpu_model_in(_start_of(Path("/proc/cpuinfo")))


def cpu_model_in(cpuinfo: str) -> str | None:
    """The processor's name in the text of ``/proc/cpuinfo``: the field's name depends on the architecture."""
    for field in ("model name", "Model", "Hardware", "cpu model", "cpu", "uarch", "Processor"):
        found = re.search(rf"^{field}[ \t]*:[ \t]*(\S.*)$", cpuinfo, re.MULTILINE)
        if found:
            return found.group(1).strip()
    return None


def _usable_cores() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _physical_cores() -> int | None:
    import psutil

    cores: int | None = psutil.cpu_count(logical=False)
    return cores


def _memory_bytes() -> int:
    if sys.platform != "win32" and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    import psutil

    return int(psutil.virtual_memory().total)
