"""Every file of deploy/ against its schema, and every command in deploy/ and the runbook against the real command line."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from dockerfile_parse import DockerfileParser

from ml_workflow.data import window
from tests.conftest import ROOT

DEPLOY, BIN = ROOT / "deploy", Path(sys.executable).parent
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
FOUND_IN_SHELL = {"||", "&&", ";", "{", "}", "};", "while", "do", "done"}
PLACEHOLDER = re.compile(r"\$\{TASK:-(\w+)\}|\$?\$\(?TASK\)?")
COMPOSE_OPTIONS = {"exec": set(), "logs": {"--tail"}, "up": {"--build", "--detach", "--wait"}}


def tool(*words: str) -> str:
    """What a program beside this Python prints; it must end well."""
    done = subprocess.run(
        [BIN / words[0], *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@cache
def manifests() -> list[dict[str, Any]]:
    """The overlay as kubectl renders it."""
    return list(yaml.safe_load_all(tool("kubectl", "kustomize", "deploy/kubernetes/production")))


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """The pods that the overlay makes, by kind and name."""
    for made in manifests():
        spec = made.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if isinstance(spec.get("template"), dict):
            yield f"{made['kind']} {made['metadata']['name']}", spec["template"]["spec"]


def parse(program: str, words: list[str]) -> None:
    """Let a program's own command line read these words; it raises on what it does not know, and nothing is run."""
    import typer

    if program == "ml-workflow":
        from ml_workflow.cli import app

        command: Any = typer.main.get_command(app)
    elif program == "mlflow":
        from mlflow.cli import cli as command
    else:
        from dask.cli import cli as command
        from distributed.cli import dask_scheduler, dask_worker

        command.add_command(dask_scheduler.main, "scheduler")
        command.add_command(dask_worker.main, "worker")
    strict = {
        "ignore_unknown_options": False
    }  # Dask would hand what it does not know to its plugins
    context = command.make_context(program, list(words))
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        context = command.make_context(name, list(rest), parent=context, **strict)


def check(words: list[str]) -> None:
    """Fail on a command that its program, its container or its cluster would not take."""
    words = [PLACEHOLDER.sub("credit", word) for word in words]
    program, rest = Path(words[0]).name, words[1:]
    if program in ("ml-workflow", "mlflow", "dask"):
        parse(program, rest)
    elif words[:2] == ["sh", "-c"]:
        for simple in split(words[2]):
            check(simple)
    elif words[:2] == ["python", "-c"]:
        compile(words[2], "deploy", "exec")
    elif program == "docker":
        check_compose(rest)
    elif program == "kubectl":
        check_kubectl(rest)
    elif program == "make":
        assert re.search(rf"^{rest[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M), (
            words
        )
    elif program == "exec":
        check(rest)
    elif program == "prometheus":
        assert {word.split("=")[0] for word in rest} <= {"--config.file", "--storage.tsdb.path"}, (
            words
        )
    else:
        assert program in ("sleep", "printf", "pg_isready"), f"nothing checks {words}"


def split(script: str) -> list[list[str]]:
    """The simple commands of a line of shell."""
    found: list[list[str]] = [[]]
    for word in shlex.split(PLACEHOLDER.sub("credit", script).replace(";", " ; ")):
        found.append([]) if word in FOUND_IN_SHELL else found[-1].append(word)
    return [simple for simple in found if simple]


def check_compose(words: list[str]) -> None:
    assert words[:3] == ["compose", "-f", "deploy/compose.yaml"], words
    action, rest = words[3], words[4:]
    while rest and rest[0].startswith("-"):
        assert rest[0] in COMPOSE_OPTIONS[action], words
        rest = rest[2 if rest[0] == "--tail" else 1 :]
    if rest:
        assert rest[0] in COMPOSE["services"], words
    if action == "exec":
        check(rest[1:])


def check_kubectl(words: list[str]) -> None:
    """Options are those that kubectl's help names; what they are about is in the overlay."""
    words, inner = (
        (words[: words.index("--")], words[words.index("--") + 1 :])
        if "--" in words
        else (words, [])
    )
    known = tool("kubectl", "options")
    if words[0] == "--namespace":
        assert words[1] == "ml-workflow"
        words = words[2:]
    depth = {"create": 3 if "secret" in words else 2, "rollout": 2}.get(words[0], 1)
    known += tool("kubectl", *words[:depth], "--help")
    for option in [word.split("=")[0] for word in words if word.startswith("-")]:
        assert f"{option}=" in known, (option, words)
    there = {
        f"{made['kind'].lower()}/{made['metadata']['name']}".replace("deployment/", "deploy/")
        for made in manifests()
    }
    assert {
        word.removeprefix("--from=")
        for word in words
        if re.match(r"(--from=)?\w+/\w+$", word) and "=deploy" not in word
    } <= there, (words, there)
    if inner:
        check(inner)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command in deploy/ and the runbook, with where it stands."""
    for name, service in COMPOSE["services"].items():
        yield from (
            (f"compose {name}", service[key]) for key in ("command", "entrypoint") if key in service
        )
        asked = service.get("healthcheck", {}).get("test")
        yield from [(f"compose {name} healthcheck", asked[1:])] if asked else []
    for name, pod in pods():
        yield from ((name, container["args"]) for container in pod["containers"])
    for line in (DEPLOY / "crontab").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            yield "crontab", line.split()[5:]
    for block in re.findall(r"^```\n(.*?)^```", RUNBOOK, re.M | re.S):
        yield from (("runbook", shlex.split(line)) for line in block.splitlines())
    yield from (
        ("runbook", shlex.split(text))
        for text in re.findall(r"`((?:ml-workflow|make) [^`]+)`", RUNBOOK)
    )
    yield from (("Dockerfile", words) for words in image_commands())
    for step in yaml.safe_load(
        (ROOT / ".github/workflows/publish.yml").read_text(encoding="utf-8")
    )["jobs"]["image"]["steps"]:
        lines = step.get("run", "").splitlines()
        yield from (
            ("publish.yml", shlex.split(line))
            for line in lines
            if re.match(r"make |docker compose ", line)
        )


def image_commands() -> list[list[str]]:
    """The command that the image starts, and the one that asks for its health."""
    steps = {
        s["instruction"]: s["value"] for s in DockerfileParser(str(DEPLOY / "Dockerfile")).structure
    }
    return [json.loads(steps["CMD"]), json.loads(steps["HEALTHCHECK"].partition(" CMD ")[2])]


@pytest.mark.parametrize(
    ("where", "words"), [pytest.param(w, c, id=f"{w}: {' '.join(c)[:60]}") for w, c in commands()]
)
def test_a_command_that_its_program_refuses(where: str, words: list[str]) -> None:
    check(words)


@pytest.mark.parametrize(
    "line",
    [
        "ml-workflow run --nonsense",
        "mlflow server --nonsense",
        "dask worker --nonsense",
        "docker compose -f deploy/compose.yaml exec nobody true",
        "kubectl --namespace ml-workflow exec deploy/nobody -- ml-workflow run",
        "kubectl apply --nonsense=1",
        "sh -c 'ml-workflow nonsense $TASK'",
        "rm -r x",
    ],
)
def test_the_check_of_commands_finds_a_wrong_one(line: str) -> None:
    with pytest.raises(Exception, match=r".+"):
        check(shlex.split(line))


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("vendor.compose-spec", "deploy/compose.yaml"),
        ("vendor.github-workflows", ".github/workflows/publish.yml"),
        ("vendor.github-workflows", ".github/workflows/test.yml"),
    ],
)
def test_a_file_against_its_schema(schema: str, file: str) -> None:
    tool("check-jsonschema", "--builtin-schema", schema, file)


def test_the_dockerfile_against_its_linter() -> None:
    tool("hadolint", "deploy/Dockerfile")


def test_manifests_that_kubernetes_would_refuse(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(
        tool("kubectl", "kustomize", "deploy/kubernetes/production"), encoding="utf-8"
    )
    tool("kubernetes-validate", "--strict", str(tmp_path / "all.yaml"))


def test_a_container_with_rights_it_does_not_need() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["mem_limit"], (
            name
        )
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    for name, pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"], (
            name
        )
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"].keys() == {"requests", "limits"}, name
            assert (
                name.startswith("CronJob")
                or {"livenessProbe", "readinessProbe"} <= container.keys()
            ), name
            assert all(
                "PASSWORD" not in e["name"] and "valueFrom" in e for e in container.get("env", [])
            ), name


def test_what_one_file_says_and_another_does_not_know() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    uv = re.search(r"uv==\S+", makefile)
    assert uv and uv[0] in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    targets = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text(encoding="utf-8"))[
        "scrape_configs"
    ][0]["static_configs"][0]["targets"]
    assert {target.split(":")[0] for target in targets} <= COMPOSE["services"].keys()
    wanted = {
        e["valueFrom"]["secretKeyRef"]["key"]
        for _, pod in pods()
        for c in pod["containers"]
        for e in c.get("env", [])
    }
    assert wanted == set(re.findall(r"--from-literal=([\w-]+)=", RUNBOOK))
    alerts = yaml.safe_load((DEPLOY / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0][
        "rules"
    ]
    assert all(f"`{rule['alert']}`" in RUNBOOK for rule in alerts)


def test_an_alert_on_a_figure_that_the_api_does_not_give() -> None:
    from prometheus_client import REGISTRY

    import_module("ml_workflow.serve.guard")  # names the figures
    asked = " ".join(
        rule["expr"]
        for rule in yaml.safe_load((DEPLOY / "alerts.yaml").read_text(encoding="utf-8"))["groups"][
            0
        ]["rules"]
    )
    given = {metric.name for metric in REGISTRY.collect()}
    assert {name.removesuffix("_total") for name in re.findall(r"\w+(?=\{)", asked)} - {
        "up"
    } <= given


def test_the_secrets_that_make_up_writes(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    subprocess.run(["make", "-s", "-f", ROOT / "Makefile", "deploy/.env"], cwd=tmp_path, check=True)
    written = tmp_path / "deploy" / ".env"
    keys = r'ML_WORKFLOW_KEYS="client:predict\+outcomes:[0-9a-f]{48} prometheus:admin:(?P=metrics)"'
    assert re.fullmatch(
        rf"POSTGRES_PASSWORD=[0-9a-f]{{48}}\nMETRICS_KEY=(?P<metrics>[0-9a-f]{{48}})\n{keys}\n",
        written.read_text(encoding="utf-8"),
    )
    assert written.stat().st_mode & 0o077 == 0


def alarms() -> dict[str, str]:
    """An alarm of each kind, as the statistics say it."""
    numbers = np.random.default_rng(0)
    before, now = (
        pd.DataFrame(
            numbers.multivariate_normal([0, 0], [[1, r], [r, 1]], 2000), columns=["a", "b"]
        )
        for r in (0.8, -0.8)
    )
    loss = numbers.normal(1, 0.1, 500)
    return {
        "drift": window.alarms(before, before + 2, [])["a"],
        "relation": window.relations(before, now, ["a", "b"])["a with b"],
        "worse": window.worse(loss, loss * 2),
        "biased": window.biased(loss, loss + 1),
        "copies": window.copies(before, before),
        "row_count": window.row_count(1000, 10),
    }


@pytest.mark.parametrize("kind", ["drift", "relation", "worse", "biased", "copies", "row_count"])
def test_an_alarm_without_a_row_in_the_runbook(kind: str) -> None:
    rows = re.findall(r"^\| `([^`]+)`", RUNBOOK, re.M)
    said = alarms()[kind]
    assert said and any(
        re.fullmatch(".*".join(map(re.escape, row.split("…"))), said) for row in rows
    ), said
