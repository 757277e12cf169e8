"""The site's pages that nobody writes: the last run's notebooks and figures, and the reference."""

import os
import re
import shutil
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import nbformat
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ml_workflow.errors import Refusal
from ml_workflow.report.page import TITLES, as_guide, as_report
from ml_workflow.report.records import Record, read_record
from ml_workflow.store.run import STAGES, reports
from ml_workflow.task.definition import Task

ROOMS = {
    "define": "Stage 00",
    "research": "Stage 01",
    "dataset": "Stage 02",
    "poc": "Stage 03",
    "scale": "Stage 04",
    "abtest": "Stage 05",
    "task": "The task file",
    "decision": "What is decided, and what it is worth",
    "data": "From sources to features",
    "model": "Learning, judging, releasing",
    "experiments": "The A/B test",
    "statistics": "Mathematics",
    "report": "Figures and pages",
    "draft": "A first task from a table",
    "store": "What is kept",
    "run": "Executing the notebooks",
    "serve": "The API",
    "operate": "After going live",
    "errors": "Refusals",
}
SUBJECTS = [
    "/howto/data",
    "/howto/current-process",
    "/howto/features",
    "/howto/sweeps",
    "/howto/cluster",
    "/howto/serving",
    "/howto/ab-test",
    "/howto/going-live",
    "/runbook",
]
TASK_FILE = """# The task file

One YAML file in `tasks/` says what is decided, from which data, and what a decision is worth. A key
that is not known is refused, with the nearest that is.

"""
API = """# The API

{about} This is the API of the last run's release; the running service gives its own at
`/openapi.json`."""


def write(root: Path, place: Path) -> None:
    """Write every generated page under `place`, from reports/latest and the package in `root`.

    Raises Refusal where there is no run yet.
    """
    os.chdir(root)
    run = reports() / "latest"
    if not (run / "run.json").exists():
        raise Refusal(
            f"The site shows the last run, and there is none in {reports()}: type `make run` first."
        )
    shutil.rmtree(place, ignore_errors=True)
    pages = {
        "front.html": front(read_record(run / "run.json")),
        "howto.md": toctree(SUBJECTS),
        **reference(root),
    }
    if (run / "files" / "release").exists():
        pages["reference/api.md"] = api_page(api_of(run / "files" / "release"))
    for name, text in pages.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text, encoding="utf-8")
    for stage in STAGES:
        if (run / f"{stage}.ipynb").exists():
            write_notebook(run / f"{stage}.ipynb", place)


def write_notebook(source: Path, place: Path) -> None:
    """Write an executed notebook twice: with its code, which folds, and as a report without."""
    notebook = nbformat.read(source, as_version=4)
    for folder, page, tag in (
        ("guide", as_guide(notebook), "hide-input"),
        ("reports", as_report(notebook), "remove-input"),
    ):
        for cell in page.cells:
            if cell.cell_type == "code":
                image = {"alt": cell.metadata["alt"]}
                cell.metadata = nbformat.from_dict({"tags": [tag], "mystnb": {"image": image}})
        (place / folder).mkdir(parents=True, exist_ok=True)
        nbformat.write(page, place / folder / source.name)


def toctree(pages: list[str]) -> str:
    """A list of pages that a page leads to."""
    return "```{toctree}\n" + "\n".join(pages) + "\n```\n"


def plain(line: str) -> str:
    """A line of plain text with code in backticks, as reStructuredText."""
    parts = re.split(r"`+", line)
    return "".join(
        f"``{part}``" if n % 2 else re.sub(r"([\\*_|])", r"\\\1", part)
        for n, part in enumerate(parts)
    )


def reference(root: Path) -> dict[str, str]:
    """The pages of the package, one a room, of the task file and of the command line, by name."""
    rooms = {room: modules(root / "ml_workflow" / room, f"ml_workflow.{room}") for room in ROOMS}
    pages = {f"reference/package/{room}.rst": room_page(room, rooms[room]) for room in rooms}
    return pages | {
        "rooms.md": toctree([f"/generated/reference/package/{room}" for room in rooms]),
        "reference/task-file.md": task_file(),
        "reference/command-line.md": command_line(),
    }


def modules(room: Path, name: str) -> list[str]:
    """The full names of the modules of a room, be it one file or a folder of them."""
    if room.with_suffix(".py").exists():
        return [name]
    files = sorted(path.stem for path in room.glob("*.py") if not path.stem.startswith("_"))
    return [f"{name}.{file}" for file in files]


def room_page(room: str, names: list[str]) -> str:
    """A room's functions and classes, from their docstrings."""
    title = f"{ROOMS[room]}: ml_workflow.{room}"
    parts = [f"{title}\n{'=' * len(title)}\n"]
    for name in names:
        short = name.rsplit(".", 1)[-1]
        head = f"{short}\n{'-' * len(short)}\n\n" if len(names) > 1 else ""
        options = "   :members:\n   :exclude-members: model_config\n"
        parts.append(f"{head}.. automodule:: {name}\n{options}")
    return "\n".join(parts)


def command_line() -> str:
    """Every command with its options, as Typer writes them."""
    import typer
    from typer.cli import get_docs_for_click

    from ml_workflow.cli import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(
        obj=command, ctx=typer.Context(command), name="ml-workflow", title="The command line"
    )
    return re.sub(r"<(?=[^`\n]*(`[^`\n]*`[^`\n]*)*$)", "\\<", text, flags=re.M)


def api_of(folder: Path) -> dict[str, Any]:
    """The OpenAPI document of a release, as the API gives it when keys are set."""
    from ml_workflow.model.release import contents, digest_of, load_release
    from ml_workflow.serve.openapi import document

    release = load_release(folder, digest_of(contents(folder)))
    return document(release, version="1", secured=True)


def api_page(document: dict[str, Any]) -> str:
    """Each address of an OpenAPI document with what it takes and answers, then each schema."""
    parts = [API.format(about=document["info"].get("description", ""))]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts += [f"## {method.upper()} {path}", operation.get("summary", "")]
            if body := operation.get("requestBody"):
                parts.append(f"Takes {in_words(body['content']['application/json']['schema'])}.")
            rows = [
                f"| {code} | {answer['description']} | {answers(answer)} |"
                for code, answer in operation["responses"].items()
            ]
            parts.append("\n".join(["| status | when | answer |", "|---|---|---|", *rows]))
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        parts += [f"## {name}", schema_table(schema)]
    return "\n\n".join(parts) + "\n"


def schema_table(schema: dict[str, Any]) -> str:
    """A JSON schema: a row for each of its keys, or in words where it has none."""
    rows = []
    for key, value in schema.get("properties", {}).items():
        required = "yes" if key in schema.get("required", []) else ""
        about = value.get("description", "")
        rows.append(f"| `{key}` | {in_words(value)} | {required} | {about} |")
    head = ["| key | takes | required | says |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]) if rows else f"{in_words(schema)}."


def answers(answer: dict[str, Any]) -> str:
    """What an answer holds."""
    return ", ".join(
        in_words(content["schema"]) if content.get("schema") else media_type
        for media_type, content in answer.get("content", {}).items()
    )


LIMITS = {"minimum": "from", "maximum": "to", "minItems": "at least", "maxItems": "at most"}


def in_words(schema: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if several := schema.get("oneOf") or schema.get("anyOf"):
        return " or ".join(map(in_words, several))
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    types = schema.get("type", "anything")
    words = types if isinstance(types, str) else " or ".join(types)
    if types == "array" and "items" in schema:
        words = f"{in_words(schema['items'])}, several"
    limits = [f"{word} {schema[key]:,}" for key, word in LIMITS.items() if key in schema]
    return " ".join([words, *limits])


def task_file() -> str:
    """Every key of a task file, from the model that reads it."""
    return TASK_FILE + "\n".join(map(part_section, dict.fromkeys([Task, *parts_of(Task)])))


def parts_of(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The models that a model's keys hold, and theirs."""
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            yield inner
            yield from parts_of(inner)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that stand in an annotation, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in models_in(part)]


def part_section(model: type[BaseModel]) -> str:
    """A part of the task file: what it is, and a row for each of its keys."""
    rows = "\n".join(
        f"| `{name}` | {field.description or ''} *{type_name(field.annotation)}{default(field)}* |"
        for name, field in model.model_fields.items()
    )
    title = "The whole" if model is Task else apart(model, " ").capitalize()
    about = " ".join((model.__doc__ or "").split())
    return f"## {title}\n\n{about}\n\n| key | says |\n|---|---|\n{rows}\n"


def apart(model: type[BaseModel], by: str) -> str:
    """The words of a model's name."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", by, model.__name__)


NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): ""}


def type_name(annotation: Any) -> str:
    """An annotation in words."""
    if annotation in NAMES:
        return NAMES[annotation]
    if models_in(annotation) == [annotation]:
        return f"[{annotation.__name__}](#{apart(annotation, '-').lower()})"
    inner = getattr(annotation, "__args__", ())
    origin = getattr(annotation, "__origin__", None)
    if origin is list:
        return f"list of {type_name(inner[0])}"
    if origin is dict:
        return f"{type_name(inner[0])}: {type_name(inner[1])}"
    some = [part for part in inner if part is not type(None)]
    return " or ".join(part if isinstance(part, str) else type_name(part) for part in some)


def default(field: FieldInfo) -> str:
    """What stands in where a key is left out, or that it must not be."""
    if field.is_required():
        return ", needed"
    value = field.get_default(call_default_factory=True)
    return "" if value in (None, "", [], {}) or isinstance(value, BaseModel) else f", else {value}"


ASKS = {
    "00_define": ("What is decided, and", "what is it worth?"),
    "01_research": ("Is there signal", "in this data?"),
    "02_dataset": ("Is the data fit", "to judge a model on?"),
    "03_poc": ("Does it beat today's", "process, in money?"),
    "04_scale": ("Is it fit for", "production?"),
    "05_abtest": ("Ship, keep running", "or stop?"),
}
MARKER = (
    '<defs><marker id="to{columns}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" '
    'markerHeight="7" orient="auto"><path class="head" d="M0 0l8 4-8 4z"/></marker></defs>'
)


def flow(words: dict[str, str], columns: int) -> str:
    """The six stages with a gate after each, as SVG in so many columns; `words` are verdicts."""
    parts = []
    for n, stage in enumerate(STAGES):
        x, y = 250 * (n % columns), 110 * (n // columns)
        parts.append(f'<rect x="{x + 1}" y="{y + 1}" width="198" height="80" rx="8"/>')
        parts.append(f'<text class="name" x="{x + 14}" y="{y + 25}">{TITLES[stage]}</text>')
        if stage in words:
            gate = f'class="gate {words[stage].split()[0]}" text-anchor="end"'
            parts.append(f'<text {gate} x="{x + 186}" y="{y + 25}">{words[stage]}</text>')
        for line, text in enumerate(ASKS[stage]):
            parts.append(f'<text x="{x + 14}" y="{y + 46 + 18 * line}">{escape(text)}</text>')
        if n + 1 < len(STAGES):
            down = f"M{x + 100} {y + 84}v12H100v10" if columns > 1 else f"M100 {y + 84}v18"
            path = f"M{x + 202} {y + 41}h38" if (n + 1) % columns else down
            parts.append(f'<path d="{path}" marker-end="url(#to{columns})"/>')
    width, height = 250 * columns - 50, 110 * (len(STAGES) // columns) - 20
    stages = ", ".join(f"{TITLES[stage]} ({' '.join(ASKS[stage])})" for stage in STAGES)
    label = escape(f"The flow: {stages}. A stage that says stop ends the run.")
    drawing = MARKER.format(columns=columns) + "".join(parts)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">{drawing}</svg>'


def front(record: Record) -> str:
    """The front page's figures: the flow with the run's verdicts, and each stage's answer."""
    verdicts = record.verdicts
    gates = {stage: "go" if verdict.go else "stop" for stage, verdict in verdicts.items()}
    words = {stage: verdict.outcome or gates[stage] for stage, verdict in verdicts.items()}
    rows = "".join(
        f"<tr><td><a href='generated/reports/{stage}.html'>{TITLES[stage]}</a></td>"
        f"<td>{gates[stage]}</td><td>{escape(verdict.answer)}</td></tr>"
        for stage, verdict in verdicts.items()
    )
    return (
        f"<div class='flow wide'>{flow(words, 3)}</div>"
        f"<div class='flow narrow'>{flow(words, 1)}</div>"
        f"<p>The run of {record.started} (UTC) on the task <b>{escape(record.task)}</b> took "
        f"{record.seconds:.0f} seconds and ended in <b>{escape(record.outcome)}</b>:</p>"
        "<div class='scroll' tabindex='0'><table class='table'><thead><tr><th>Stage</th>"
        f"<th>Gate</th><th>Its answer</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
