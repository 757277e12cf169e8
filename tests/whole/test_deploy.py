"""The files of deploy/ against their schemas, the other files and the runbook."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from ml_workflow.data import window
from tests.conftest import ROOT, surroundings, workflow
from tests.whole.conftest import tool

OVERLAY = "deploy/kubernetes/production"
KEPT_OUT = {
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


COMPOSE = yaml.safe_load(text("deploy/compose.yaml"))
RULES = yaml.safe_load(text("deploy/alerts.yaml"))["groups"][0]["rules"]
RUNBOOK = text("docs/runbook.md")


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """The pods that the overlay makes, by kind and name."""
    for manifest in yaml.safe_load_all(tool("kubectl", "kustomize", OVERLAY)):
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if isinstance(spec.get("template"), dict):
            yield f"{manifest['kind']} {manifest['metadata']['name']}", spec["template"]["spec"]


def test_files_against_their_schemas() -> None:
    check = ["check-jsonschema", "--builtin-schema"]
    tool(*check, "vendor.compose-spec", "deploy/compose.yaml")
    workflows = [str(file) for file in (ROOT / ".github" / "workflows").glob("*.yml")]
    tool(*check, "vendor.github-workflows", *workflows)


def test_the_dockerfile_against_its_linter() -> None:
    tool("hadolint", "deploy/Dockerfile")


def test_what_the_image_holds_is_enough_for_its_command_line(tmp_path: Path) -> None:
    rules = text("deploy/Dockerfile.dockerignore").splitlines()
    away = shutil.ignore_patterns(*[rule[3:] for rule in rules if rule.startswith("**/")])
    for name in [rule[1:] for rule in rules if rule.startswith("!")]:
        copy = partial(shutil.copytree, ignore=away) if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    done = workflow("check", "penguins", env=surroundings(tmp_path), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), done


def test_manifests_that_kubernetes_would_refuse(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(tool("kubectl", "kustomize", OVERLAY), encoding="utf-8")
    tool("kubernetes-validate", "--strict", str(tmp_path / "all.yaml"))


def test_a_container_with_rights_it_does_not_need() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["mem_limit"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    for name, pod in pods():
        assert pod["securityContext"]["runAsNonRoot"], name
        assert not pod["automountServiceAccountToken"], name
        probes = set() if name.startswith("CronJob") else {"livenessProbe", "readinessProbe"}
        for container in pod["containers"]:
            assert container["securityContext"] == KEPT_OUT, name
            assert container["resources"].keys() == {"requests", "limits"}, name
            assert probes <= container.keys(), name
            assert all("valueFrom" in variable for variable in container.get("env", [])), name


def test_what_one_file_says_and_another_does_not_know() -> None:
    uv = re.search(r"uv==\S+", text("Makefile"))
    assert uv and uv[0] in text("deploy/Dockerfile")
    scraped = set(re.findall(r"(\w+):\d+", text("deploy/prometheus.yaml")))
    assert scraped and scraped <= COMPOSE["services"].keys()
    secrets = {
        variable["valueFrom"]["secretKeyRef"]["key"]
        for _, pod in pods()
        for container in pod["containers"]
        for variable in container.get("env", [])
    }
    assert secrets == set(re.findall(r"--from-literal=([\w-]+)=", RUNBOOK))
    assert all(f"`{rule['alert']}`" in RUNBOOK for rule in RULES)


def test_an_alert_on_a_figure_that_the_api_does_not_give() -> None:
    from prometheus_client import REGISTRY

    import_module("ml_workflow.serve.guard")  # names the figures
    used = re.findall(r"\w+(?=\{)", " ".join(rule["expr"] for rule in RULES))
    figures = {metric.name for metric in REGISTRY.collect()} | {"up"}
    assert {name.removesuffix("_total") for name in used} <= figures


def test_the_secrets_that_make_up_writes(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    subprocess.run(["make", "-s", "-f", ROOT / "Makefile", "deploy/.env"], cwd=tmp_path, check=True)
    file = tmp_path / "deploy" / ".env"
    keys = r'ML_WORKFLOW_KEYS="client:predict\+outcomes:[0-9a-f]{48} prometheus:admin:(?P=metrics)"'
    secrets = (
        rf"POSTGRES_PASSWORD=[0-9a-f]{{48}}\nMETRICS_KEY=(?P<metrics>[0-9a-f]{{48}})\n{keys}\n"
    )
    assert re.fullmatch(secrets, file.read_text(encoding="utf-8"))
    assert file.stat().st_mode & 0o077 == 0


def test_an_alarm_without_a_row_in_the_runbook() -> None:
    numbers = np.random.default_rng(0)
    before, now = (
        pd.DataFrame(
            numbers.multivariate_normal([0, 0], [[1, r], [r, 1]], 2000), columns=["a", "b"]
        )
        for r in (0.8, -0.8)
    )
    loss = pd.Series(numbers.normal(1, 0.1, 500))
    alarms = [
        window.alarms(before, before + 2, [])["a"],
        window.relations(before, now, ["a", "b"])["a with b"],
        window.worse(loss, loss * 2),
        window.biased(loss, loss + 1),
        window.copies(before, before),
        window.row_count(1000, 10),
    ]
    rows = re.findall(r"^\| `([^`]+)`", RUNBOOK, re.M)
    patterns = [".*".join(map(re.escape, row.split("…"))) for row in rows]
    for alarm in alarms:
        assert any(re.fullmatch(pattern, alarm) for pattern in patterns), alarm
