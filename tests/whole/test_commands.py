"""Every command that README and site show exists, with the options it is shown with."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from ml_workflow.cli import app
from ml_workflow.run.notebooks import checked, pairs
from ml_workflow.task.file import as_task
from ml_workflow.task.definition import Task
from tests.conftest import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(
        path
        for path in (ROOT / "docs").rglob("*.md")
        if not {"generated", "_build"} & set(path.parts)
    ),
]
# Programs of libraries: that they are installed is what a page promises of them.
PROGRAMS = {"copier", "dask", "papermill", "pre-commit"}

# The command that the subject of a page begins with: the page is checked as soon as the command exists.
BEGINS_WITH = {
    "docs/howto/serving.md": "serve",
    "docs/howto/ab-test.md": "experiment",
    "docs/howto/going-live.md": "promote",
    "docs/runbook.md": "promote",
}
COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def commands() -> Iterator[tuple[str, list[str]]]:
    """The lines in fenced blocks without a language, or in code that begins with make or .venv/bin, by page."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = [
            line
            for block in re.findall(r"^```(?:bash)?\n(.*?)^```$", text, re.M | re.S)
            for line in block.splitlines()
        ]
        lines += re.findall(r"`((?:make|\.venv/bin/)[^`\n]*)`", text)
        for line in dict.fromkeys(lines):
            if re.match(r"make |\.venv/bin/|ml-workflow ", line):
                words = shlex.split(line, comments=True)
                yield (
                    f"{page.relative_to(ROOT)}: {line.strip()}",
                    [words[0].removeprefix(".venv/bin/"), *words[1:]],
                )


SHOWN = dict(commands())


@pytest.mark.parametrize("shown", SHOWN)
def test_a_command_shown_is_one_that_works(shown: str) -> None:
    program, *words = SHOWN[shown]
    if (first := BEGINS_WITH.get(shown.partition(":")[0])) and first not in COMMANDS:
        pytest.skip(f"waits for the command {first}")
    if program == "make":
        targets = [word for word in words if "=" not in word]
        known = re.findall(
            r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M
        )
        assert set(targets) <= set(known)
    elif program == "ml-workflow":
        parse(words)
    else:
        assert (
            program in PROGRAMS
            and subprocess.run(
                [Path(typer.__file__).parents[4] / "bin" / program, "--help"],
                capture_output=True,
                check=False,
            ).returncode
            == 0
        )


def parse(words: list[str]) -> None:
    """Let Typer read the words as it would, and the workflow the parameters and files they name; nothing is run."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    context = command.make_context(command.name, list(words))
    checked(pairs(context.params.get("parameter") or []))
    for word in words:
        assert not word.startswith("sweeps/") or (ROOT / word).is_file()


def test_the_commands_are_found() -> None:
    assert len(SHOWN) > 25 and {page.partition(":")[0] for page in SHOWN} >= {
        "README.md",
        "docs/index.md",
        "docs/howto/data.md",
    }


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--no-such-option"],
        ["no-such-command"],
        ["run", "-p", "no_such_parameter=1"],
        ["sweep", "sweeps/none.yaml"],
    ],
)
def test_a_command_that_does_not_work_is_found(words: list[str]) -> None:
    with pytest.raises((Exception, AssertionError)):
        parse(words)


def yaml_shown() -> list[str]:
    """The pieces of task files that pages show."""
    return [
        block
        for page in PAGES
        for block in re.findall(
            r"^```yaml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S
        )
        if not block.startswith("task:")
    ]


@pytest.mark.parametrize("block", yaml_shown())
def test_a_piece_of_a_task_file_shown_is_sound(block: str) -> None:
    import yaml

    least = {
        "name": "a",
        "question": "b",
        "unit": "c",
        "sources": [{"name": "d", "uri": "e.csv"}],
        "target": {"column": "f", "kind": "binary", "positive": 1},
    }
    assert isinstance(as_task(least | yaml.safe_load(block), "shown"), Task)
