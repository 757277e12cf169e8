"""The image without a container engine: its steps on a copy of this machine's disk, its services without root on a read-only one."""

import fnmatch
import json
import os
import secrets
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser

from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("unshare") is None,
    reason="other users and read-only disks need root on Linux; publish.yml starts the real image",
)
STEPS: list[dict[str, str]] = DockerfileParser(str(ROOT / "deploy" / "Dockerfile")).structure
LAST = max(i for i, step in enumerate(STEPS) if step["instruction"] == "FROM")
SERVICES: dict[str, Any] = yaml.safe_load(
    (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
)["services"]
PYTHON = Path(sys._base_executable).resolve().parent  # type: ignore[attr-defined]  # stands for that of the image's base
LOOPBACK = "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh22x', b'lo', 0x41))"  # SIOCSIFFLAGS: up and running
REACH = (
    "PIP_",
    "UV_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
)


def last(instruction: str) -> str:
    """What the image's last stage says by an instruction."""
    return next(
        step["value"] for step in reversed(STEPS[LAST:]) if step["instruction"] == instruction
    )


def variables() -> dict[str, str]:
    """The environment that the image gives its processes, and nothing else."""
    pairs = dict(word.split("=", 1) for word in shlex.split(last("ENV")))
    return pairs | {
        "PATH": pairs["PATH"].replace("$PATH", f"{PYTHON}:/usr/local/bin:/usr/bin:/bin")
    }


def context(place: Path) -> Path:
    """What `docker build` would get of the project: the names that Dockerfile.dockerignore lets through."""
    rules = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text(encoding="utf-8").split("\n")
    away = [rule.removeprefix("**/") for rule in rules if rule.startswith("**/")]
    for name in [rule[1:] for rule in rules if rule.startswith("!")]:
        source, target = ROOT / name, place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(
                source,
                target,
                ignore=lambda _, names: [
                    n for n in names if any(fnmatch.fnmatch(n, a) for a in away)
                ],
            )
        else:
            shutil.copy(source, target)
    return place


def on_disk(
    place: Path, script: str, network: bool, seconds: int
) -> subprocess.CompletedProcess[str]:
    """Run a shell script where `place`/root is this machine's disk, changes to it kept in `place`/changes."""
    for name in ("changes", "work", "root"):
        (place / name).mkdir(exist_ok=True)
    mounts = f"""cd {shlex.quote(str(place))}
mount -t overlay overlay -o lowerdir=/,upperdir=changes,workdir=work root
mount -t tmpfs -o mode=1777 tmpfs root/tmp
mount --rbind /dev root/dev
mount -t proc proc root/proc
"""
    apart = [
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        *([] if network else ["--net"]),
    ]
    return subprocess.run(
        [*apart, "sh", "-euc", mounts + script], capture_output=True, text=True, timeout=seconds
    )


def inside(words: list[str], environment: dict[str, str], user: str = "0:0") -> str:
    """The line of shell that runs words within the disk, in /app."""
    given = [f"{name}={value}" for name, value in environment.items()]
    return shlex.join(
        [
            "chroot",
            f"--userspec={user}",
            "--groups=",
            "root",
            "/usr/bin/env",
            "-i",
            *given,
            "sh",
            "-c",
            'cd /app && exec "$@"',
            "sh",
            *words,
        ]
    )


def build(place: Path, steps: list[dict[str, str]]) -> None:
    """Take the steps on the disk at `place`; both stages share it, so that what one copies from the other is there."""
    context(place / "context")
    environment = {
        name: value for name, value in os.environ.items() if name.upper().startswith(REACH)
    } | {
        "HOME": "/root",
        "PATH": f"{PYTHON}:{os.defpath}:/usr/sbin:/sbin",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    lines = [
        "mkdir -p root/app",
        "chmod o+x root/root",
    ]  # this machine's Python may lie in root's home
    for step in steps:
        kind, value = step["instruction"], step["value"]
        if kind == "RUN":
            lines.append(inside(["sh", "-ec", value], environment))
        elif kind == "COPY" and not value.startswith("--from=build"):
            lines.append(f"cp -R context/{value.split()[0]} root/app/")
    done = on_disk(place, "\n".join(lines), network=True, seconds=3000)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def start(
    place: Path, words: list[str], healthcheck: list[str], environment: dict[str, str]
) -> str:
    """Start a service as its container would be, wait until its own health check passes, and try to write to the disk; what it said."""
    for name in ("var", "reports"):
        (place / name).mkdir(exist_ok=True)
        subprocess.run(["chown", "-R", last("USER"), place / name], check=True)
    user, everything = last("USER"), variables() | environment
    script = f"""for name in var reports; do mount --bind $name root/app/$name; done
mount -o remount,ro root
{shlex.join([sys.executable, "-c", LOOPBACK])}
{inside(words, everything, user)} >said 2>&1 &
service=$!
for _ in $(seq 90); do
    kill -0 $service || break
    if {inside(healthcheck, everything, user)} 2>/dev/null; then
        if {inside(["touch", "/app/written"], everything, user)} 2>/dev/null; then echo wrote to /app; exit 1; fi
        if {inside(["touch", "/opt/written"], everything)} 2>/dev/null; then echo the disk is not read-only; exit 1; fi
        exit 0
    fi
    sleep 1
done
exit 1
"""
    done = on_disk(place, script, network=False, seconds=300)
    said = (place / "said").read_text(encoding="utf-8") if (place / "said").exists() else ""
    assert done.returncode == 0, done.stdout + done.stderr[-1000:] + said[-3000:]
    return said


def champion(place: Path, env: dict[str, str]) -> None:
    """Put a registry whose champion is that of the session's run into `place`/var, and its release beside it."""
    (place / "var").mkdir(parents=True)
    with (
        closing(sqlite3.connect(env["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"))) as old,
        closing(sqlite3.connect(place / "var" / "mlflow.db")) as new,
    ):
        old.backup(new)
    shutil.copy(ROOT / "settings.ini", place / "settings.ini")
    code = "from ml_workflow.model.registry import promote; promote('penguins', 'challenger')"
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        env=env
        | {
            "MLFLOW_TRACKING_URI": f"sqlite:///{place / 'var' / 'mlflow.db'}",
            "PYTHONPATH": str(ROOT),
        },
        check=True,
    )


def ask_and_command(name: str) -> tuple[list[str], list[str]]:
    """A service's command and health check; the image's own for the image."""
    if name == "image":
        return json.loads(last("CMD")), json.loads(last("HEALTHCHECK").partition(" CMD ")[2])
    return SERVICES[name]["command"], SERVICES[name]["healthcheck"]["test"][1:]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk with the project as the image holds it and, in place of a fresh environment, the one of these tests."""
    taken = [
        step
        for step in STEPS[LAST:]
        if step["instruction"] == "RUN" and step["value"].startswith("install ")
    ]
    build(tmp_path, [{"instruction": "COPY", "value": ". ."}, *taken])
    (tmp_path / "changes" / "opt").mkdir(exist_ok=True)
    (tmp_path / "changes" / "opt" / "venv").symlink_to(sys.prefix)
    return tmp_path


SECRET = secrets.token_hex(24)
OURS = {
    "PYTHONPATH": "/app",
    "MLFLOW_TRACKING_URI": "sqlite:////app/var/mlflow.db",
    "ML_WORKFLOW_KEYS": f"client:predict+outcomes:{SECRET}",
}


@pytest.mark.prove
def test_the_api_without_root_on_a_read_only_disk(
    disk: Path, finished: Path, env: dict[str, str]
) -> None:
    champion(disk, env)
    command, asked = ask_and_command("image")
    said = start(disk, ["penguins" if word == "credit" else word for word in command], asked, OURS)
    assert SECRET not in said


@pytest.mark.prove
def test_mlflow_without_root_on_a_read_only_disk(disk: Path) -> None:
    (disk / "var").mkdir()
    shutil.copy(ROOT / "var" / "mlflow.db", disk / "var" / "mlflow.db")
    command, asked = ask_and_command("mlflow")
    start(disk, command, asked, {"MLFLOW_BACKEND_STORE_URI": "sqlite:////app/var/mlflow.db"})


@pytest.mark.prove
def test_the_image_built_from_the_lock(tmp_path: Path, finished: Path, env: dict[str, str]) -> None:
    build(tmp_path, STEPS)
    champion(tmp_path / "seed", env)
    shutil.move(tmp_path / "seed" / "var", tmp_path / "var")
    command, asked = ask_and_command("image")
    start(
        tmp_path,
        ["penguins" if word == "credit" else word for word in command],
        asked,
        {name: value for name, value in OURS.items() if name != "PYTHONPATH"},
    )
