"""The image without a container engine: its steps and services on a copy of this machine's disk."""

import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dockerfile_parse import DockerfileParser

from tests.conftest import ROOT, called, copy_registry

STEPS: list[dict[str, str]] = DockerfileParser(str(ROOT / "deploy" / "Dockerfile")).structure
# What an instruction says last is what the image has.
LAST = {step["instruction"]: step["value"] for step in STEPS}
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
# This machine's Python stands for that of the image's base.
PYTHON = Path(sys._base_executable).resolve().parent  # type: ignore[attr-defined]
# SIOCSIFFLAGS: the loopback device is up and running.
LOOPBACK = """import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh22x', b'lo', 0x41))"""
REACH = ("PIP_", "UV_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA")
SECRET = secrets.token_hex(24)


def copy_context(place: Path) -> None:
    """What `docker build` would get: the names that Dockerfile.dockerignore lets through."""
    rules = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    away = [rule.removeprefix("**/") for rule in rules if rule.startswith("**/")]
    ignored = shutil.ignore_patterns(*away)
    for name in [rule[1:] for rule in rules if rule.startswith("!")]:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, place / name)


def on_disk(place: Path, script: str, *options: str) -> None:
    """Run a script where `place`/root is this machine's disk, changes kept in `place`/changes."""
    for name in ("changes", "work", "root"):
        (place / name).mkdir(exist_ok=True)
    mounts = f"""cd {shlex.quote(str(place))}
mount -t overlay overlay -o lowerdir=/,upperdir=changes,workdir=work root
mount -t tmpfs -o mode=1777 tmpfs root/tmp
mount --rbind /dev root/dev
mount -t proc proc root/proc
"""
    words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", *options]
    done = subprocess.run(
        [*words, "sh", "-euc", mounts + script], capture_output=True, text=True, timeout=3000
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]


def inside(words: list[str], environment: dict[str, str], user: str = "0:0") -> str:
    """The line of shell that runs words within the disk, in /app."""
    variables = [f"{name}={value}" for name, value in environment.items()]
    root = ["chroot", f"--userspec={user}", "--groups=", "root", "/usr/bin/env", "-i", *variables]
    return shlex.join([*root, "sh", "-c", 'cd /app && exec "$@"', "sh", *words])


def build(place: Path) -> None:
    """Take the Dockerfile's steps on the disk at `place`, which both of its stages share."""
    copy_context(place / "context")
    path = f"{PYTHON}:{os.defpath}:/usr/sbin:/sbin"
    environment = {"HOME": "/root", "PATH": path, "DEBIAN_FRONTEND": "noninteractive"}
    environment |= {k: value for k, value in os.environ.items() if k.upper().startswith(REACH)}
    # This machine's Python may lie in root's home.
    lines = ["mkdir -p root/app", "chmod o+x root/root"]
    for step in STEPS:
        if step["instruction"] == "RUN":
            lines.append(inside(["sh", "-ec", step["value"]], environment))
        elif step["instruction"] == "COPY" and not step["value"].startswith("--from=build"):
            lines.append(f"cp -R context/{step['value'].split()[0]} root/app/")
    on_disk(place, "\n".join(lines))


def start(place: Path, words: list[str], health: list[str], **own: str) -> str:
    """Start a service without root until it is healthy, and try to write; what it said."""
    for name in ("var", "reports"):
        (place / name).mkdir(exist_ok=True)
        subprocess.run(["chown", "-R", LAST["USER"], place / name], check=True)
    pairs: dict[str, str] = dict(word.split("=", 1) for word in shlex.split(LAST["ENV"]))
    path = pairs["PATH"].replace("$PATH", f"{PYTHON}:/usr/local/bin:/usr/bin:/bin")
    environment, user = pairs | {"PATH": path} | own, LAST["USER"]
    script = f"""exec 2>&1
for name in var reports; do mount --bind $name root/app/$name; done
mount -o remount,ro root
{shlex.join([sys.executable, "-c", LOOPBACK])}
{inside(words, environment, user)} >said 2>&1 &
for _ in $(seq 90); do
    kill -0 $! || break
    if {inside(health, environment, user)} 2>/dev/null; then
        {inside(["touch", "/app/written"], environment, user)} && exit 1
        {inside(["touch", "/opt/written"], environment)} && exit 1
        exit 0
    fi
    sleep 1
done
cat said; exit 1
"""
    on_disk(place, script, "--net")
    return (place / "said").read_text(encoding="utf-8")


@pytest.mark.prove
@pytest.mark.skipif(os.getuid() != 0 or shutil.which("unshare") is None, reason="needs root")
def test_the_image_built_from_the_lock_serves_without_root_on_a_read_only_disk(
    tmp_path: Path, finished: Path, env: dict[str, str]
) -> None:
    build(tmp_path)
    (tmp_path / "var").mkdir()
    registry = tmp_path / "var" / "mlflow.db"
    copy_registry(Path(env["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///")), registry)
    there: dict[str, Any] = env | {"MLFLOW_TRACKING_URI": f"sqlite:///{registry}"}
    shutil.copy(ROOT / "settings.ini", tmp_path)
    done = called("promote", "penguins", "challenger", env=there, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    health = json.loads(LAST["HEALTHCHECK"].partition(" CMD ")[2])
    command = ["penguins" if word == "credit" else word for word in json.loads(LAST["CMD"])]
    address, keys = "sqlite:////app/var/mlflow.db", f"client:predict+outcomes:{SECRET}"
    said = start(tmp_path, command, health, MLFLOW_TRACKING_URI=address, ML_WORKFLOW_KEYS=keys)
    assert SECRET not in said
    mlflow = COMPOSE["services"]["mlflow"]
    start(
        tmp_path,
        mlflow["command"],
        mlflow["healthcheck"]["test"][1:],
        MLFLOW_BACKEND_STORE_URI=address,
    )
