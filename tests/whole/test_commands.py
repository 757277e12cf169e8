"""Every command that pages, containers and schedules show is one that its program takes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml

from ml_workflow.cli import app
from ml_workflow.run.notebooks import pairs, parameters_by_stage
from ml_workflow.task.file import as_task
from tests.conftest import ROOT
from tests.whole.conftest import tool

DEPLOY = ROOT / "deploy"
PAGES = [
    path
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
    if not {"generated", "_build"} & set(path.parts)
]
PLACEHOLDER = re.compile(r"\$\{TASK:-(\w+)\}|\$?\$\(?TASK\)?")
IN_SHELL = {"||", "&&", ";", "{", "}", "};", "while", "do", "done"}
SERVICES = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
MANIFESTS = "".join(file.read_text("utf-8") for file in DEPLOY.glob("kubernetes/base/*.yaml"))
COMPOSE_OPTIONS = {"--build", "--detach", "--wait", "--tail"}


def shown() -> Iterator[tuple[str, list[str]]]:
    """Every command, with where it stands."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^```(?:bash)?\n(.*?)^```$", text, re.M | re.S)
        lines = [line for block in blocks for line in block.splitlines()]
        lines += re.findall(r"`((?:make|ml-workflow \w+|\.venv/bin/\S+) [^`\n]*)`", text)
        for line in dict.fromkeys(lines):
            if re.match(r"make |\.venv/bin/|ml-workflow |docker |kubectl ", line):
                yield str(page.relative_to(ROOT)), shlex.split(line, comments=True)
    for file in [*DEPLOY.rglob("*.yaml"), DEPLOY / "Dockerfile"]:
        text = file.read_text(encoding="utf-8")
        for listed in re.findall(r"(?:command:|entrypoint:|args:|test:|CMD) (\[.+\])$", text, re.M):
            words = yaml.safe_load(listed)
            yield file.name, words[1:] if words[0] == "CMD" else words
    for line in (DEPLOY / "crontab").read_text(encoding="utf-8").splitlines()[1:]:
        yield "crontab", line.split()[5:]
    workflow = (ROOT / ".github/workflows/publish.yml").read_text(encoding="utf-8")
    for line in re.findall(r"(?:make|docker compose) .*", workflow):
        yield "publish.yml", shlex.split(line)


def check(words: list[str]) -> None:
    """Fail on a command that its program, its container or its cluster would not take."""
    words = [PLACEHOLDER.sub("credit", word) for word in words]
    program, rest = Path(words[0]).name, words[1:]
    if program == "ml-workflow":
        check_ours(rest)
    elif program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert f"\n{rest[0]}:" in makefile, words
    elif program == "docker":
        check_compose(rest)
    elif program == "exec":
        check(rest)
    elif program == "sh":
        for simple in simple_commands(rest[1]):
            check(simple)
    elif program == "python":
        compile(rest[1], "deploy", "exec")
    elif program in ("copier", "dask", "kubectl", "mlflow", "papermill", "pre-commit"):
        check_by_help(program, rest)
    else:
        assert program in ("sleep", "printf", "pg_isready", "prometheus"), f"no check for {words}"


def check_ours(words: list[str]) -> None:
    """Let Typer read the words as it would, and the workflow the parameters and files they name."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    context = command.make_context(command.name, list(words))
    parameters_by_stage(pairs(context.params.get("parameter") or []))
    for word in words:
        assert not word.startswith("sweeps/") or (ROOT / word).is_file()


def simple_commands(script: str) -> list[list[str]]:
    """The simple commands of a line of shell."""
    commands: list[list[str]] = [[]]
    for word in shlex.split(PLACEHOLDER.sub("credit", script).replace(";", " ; ")):
        commands.append([]) if word in IN_SHELL else commands[-1].append(word)
    return [command for command in commands if command]


def check_compose(words: list[str]) -> None:
    """Options and services are known, and so is what is executed in one."""
    assert words[:3] == ["compose", "-f", "deploy/compose.yaml"], words
    action, *rest = words[3:]
    names = [word for word in rest if not word.startswith("-") and not word.isdigit()]
    assert action in ("exec", "logs", "up") and set(names[:1]) <= SERVICES.keys(), words
    if action == "exec":
        check(rest[1:])
    else:
        assert {word for word in rest if word.startswith("-")} <= COMPOSE_OPTIONS, words


def check_by_help(program: str, words: list[str]) -> None:
    """Options are those that the program's help names; what they are about is in the cluster."""
    if "--" in words:
        check(words[words.index("--") + 1 :])
        words = words[: words.index("--")]
    if words[0] == "--namespace":
        words = words[2:]
    options = [word.split("=")[0] for word in words if word.startswith("-")]
    names = words[: words.index(next(w for w in words if w.startswith("-")))] if options else words
    known = tool(program, *names, "--help")
    assert [option for option in options if not re.search(rf"{option}\b", known)] == [], words
    for kind, name in re.findall(r"(deploy|cronjob)/([\w-]+)", " ".join(words)):
        assert f"name: {name}" in MANIFESTS or (kind, name) == ("deploy", "kubernetes"), words


SHOWN = {f"{where}: {shlex.join(words)}": words for where, words in shown()}


@pytest.mark.parametrize("words", SHOWN.values(), ids=SHOWN)
def test_a_command_shown_is_one_that_works(words: list[str]) -> None:
    check(words)


def test_commands_are_found_everywhere() -> None:
    places = {name.partition(":")[0] for name in SHOWN}
    assert places >= {"README.md", "docs/howto/data.md", "docs/runbook.md", "compose.yaml"}
    assert places >= {"Dockerfile", "jobs.yaml", "crontab", "publish.yml"} and len(SHOWN) > 60


@pytest.mark.parametrize(
    "line",
    [
        "ml-workflow run --nonsense",
        "ml-workflow run -p no_such_parameter=1",
        "ml-workflow sweep sweeps/none.yaml",
        "mlflow server --nonsense",
        "docker compose -f deploy/compose.yaml exec nobody true",
        "kubectl --namespace ml-workflow exec deploy/nobody -- ml-workflow run",
        "kubectl apply --nonsense=1",
        "sh -c 'ml-workflow nonsense $TASK'",
        "make nonsense",
        "rm -r x",
    ],
)
def test_a_command_that_does_not_work_is_found(line: str) -> None:
    with pytest.raises(Exception, match=r".*"):
        check(shlex.split(line))


TASK_FILE = """
name: a
question: b
unit: c
sources: [{name: d, uri: e.csv}]
target: {column: f, kind: binary, positive: 1}
"""
PIECES = [
    piece
    for page in PAGES
    for piece in re.findall(r"^```yaml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    if not piece.startswith("task:")
]


@pytest.mark.parametrize("piece", PIECES)
def test_a_piece_of_a_task_file_shown_is_sound(piece: str) -> None:
    as_task(yaml.safe_load(TASK_FILE) | yaml.safe_load(piece), "shown")
