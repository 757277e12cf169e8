"""The site's pages that nobody writes: the notebooks of the last run, its figures, and the reference."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ml_workflow.errors import Refusal
from ml_workflow.report.page import TITLES, as_guide, as_report
from ml_workflow.report.records import Record, read_record
from ml_workflow.store.run import STAGES, Verdict, reports
from ml_workflow.task.definition import Task

ROOMS = {
    "define": "Stage 00",
    "research": "Stage 01",
    "dataset": "Stage 02",
    "poc": "Stage 03",
    "scale": "Stage 04",
    "abtest": "Stage 05",
    "store": "What is kept",
    "pipeline": "From frame to frame",
    "statistics": "Mathematics",
    "run": "Executing the notebooks",
    "serve": "The API",
    "operate": "After going live",
    "errors": "Refusals",
}
SUBJECTS = [
    f"/howto/{name}"
    for name in (
        "data",
        "current-process",
        "features",
        "sweeps",
        "cluster",
        "serving",
        "ab-test",
        "going-live",
    )
]


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
    record = read_record(run / "run.json")
    shutil.rmtree(place, ignore_errors=True)
    subjects = "\n".join(
        [*SUBJECTS, *(["/runbook"] if (root / "docs" / "runbook.md").exists() else [])]
    )
    pages = {
        "front.html": front(record),
        "howto.md": f"```{{toctree}}\n{subjects}\n```\n",
        **reference(root),
    }
    if (root / "ml_workflow" / "serve" / "openapi.py").exists() and (
        run / "files" / "release"
    ).exists():
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
    for kind, page, tag in (
        ("guide", as_guide(notebook), "hide-input"),
        ("reports", as_report(notebook), "remove-input"),
    ):
        for cell in page.cells:
            if cell.cell_type == "code":
                cell.metadata = nbformat.from_dict(
                    {"tags": [tag], "mystnb": {"image": {"alt": cell.metadata["alt"]}}}
                )
        (place / kind).mkdir(parents=True, exist_ok=True)
        nbformat.write(page, place / kind / source.name)


def plain(line: str) -> str:
    """A line of plain text with code in backticks, as reStructuredText."""
    parts = re.split(r"`+", line)
    return "".join(
        f"``{part}``" if n % 2 else re.sub(r"([\\*_|])", r"\\\1", part)
        for n, part in enumerate(parts)
    )


def reference(root: Path) -> dict[str, str]:
    """The pages of the package, a page a room, of the task file and of the command line, by name."""
    rooms = {room: modules(root / "ml_workflow" / room, f"ml_workflow.{room}") for room in ROOMS}
    pages = {
        f"reference/package/{room}.rst": room_page(room, names)
        for room, names in rooms.items()
        if names
    }
    tree = "\n".join(
        f"/generated/reference/package/{room}" for room, names in rooms.items() if names
    )
    return pages | {
        "rooms.md": f"```{{toctree}}\n{tree}\n```\n",
        "reference/task-file.md": task_file(),
        "reference/command-line.md": command_line(),
    }


def modules(room: Path, name: str) -> list[str]:
    """The full names of the modules of a room, be it one file or a folder of them; none where the room is not there."""
    if room.with_suffix(".py").exists():
        return [name]
    return [
        f"{name}.{path.stem}" for path in sorted(room.glob("*.py")) if not path.stem.startswith("_")
    ]


def room_page(room: str, names: list[str]) -> str:
    """A room's functions and classes, from their docstrings."""
    title = f"{ROOMS[room]}: ml_workflow.{room}"
    short = [name.rsplit(".", 1)[-1] for name in names]
    heads = [f"{name}\n{'-' * len(name)}\n\n" if len(names) > 1 else "" for name in short]
    parts = [
        f"{head}.. automodule:: {name}\n   :members:\n   :exclude-members: model_config\n"
        for head, name in zip(heads, names, strict=True)
    ]
    return f"{title}\n{'=' * len(title)}\n\n" + "\n".join(parts)


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
    from ml_workflow.serve.rows import columns_of

    release = load_release(folder, digest_of(contents(folder)))
    model = SimpleNamespace(
        name=release.task().name,
        version="1",
        release=release,
        columns=columns_of(release),
        actions=list(release.card.get("actions", [])),
    )
    return document(model, 10_000, True)


def api_page(document: dict[str, Any]) -> str:
    """Each address of an OpenAPI document with what it takes and answers, then each schema."""
    parts = [
        f"# The API\n\n{document['info'].get('description', '')} This is the API of the last run's release; the running service gives its own at `/openapi.json`."
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            body = (
                operation.get("requestBody", {})
                .get("content", {})
                .get("application/json", {})
                .get("schema")
            )
            rows = "\n".join(
                f"| {code} | {answer['description']} | {answers(answer)} |"
                for code, answer in operation["responses"].items()
            )
            takes = f"Takes {said(body)}.\n\n" if body else ""
            parts.append(
                f"## {method.upper()} {path}\n\n{operation.get('summary', '')}\n\n{takes}| status | when | answer |\n|---|---|---|\n{rows}"
            )
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        rows = "\n".join(
            f"| `{key}` | {said(value)} | {'yes' if key in schema.get('required', []) else ''} | {value.get('description', '')} |"
            for key, value in schema.get("properties", {}).items()
        )
        parts.append(
            f"## {name}\n\n"
            + (
                f"| key | takes | required | says |\n|---|---|---|---|\n{rows}"
                if rows
                else f"{said(schema)}."
            )
        )
    return "\n\n".join(parts) + "\n"


def answers(answer: dict[str, Any]) -> str:
    """What an answer holds."""
    return ", ".join(
        said(content["schema"]) if content.get("schema") else kind
        for kind, content in answer.get("content", {}).items()
    )


def said(schema: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if several := schema.get("oneOf") or schema.get("anyOf"):
        return " or ".join(map(said, several))
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    named = schema.get("type", "anything")
    words = (
        f"{said(schema['items'])}, several"
        if named == "array" and "items" in schema
        else " or ".join(named)
        if isinstance(named, list)
        else named
    )
    limits = [
        f"{word} {schema[key]:,}"
        for key, word in (
            ("minimum", "from"),
            ("maximum", "to"),
            ("minItems", "at least"),
            ("maxItems", "at most"),
        )
        if key in schema
    ]
    return " ".join([words, *limits])


def task_file() -> str:
    """Every key of a task file, from the model that reads it."""
    parts = [Task, *(part for part in parts_of(Task))]
    return (
        "# The task file\n\nOne YAML file in `tasks/` says what is decided, from which data, and what a decision is worth. A key that is not known is refused, with the nearest that is.\n\n"
        + "\n".join(map(part_section, dict.fromkeys(parts)))
    )


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
        f"| `{name}` | {field.description or ''} *{kind(field.annotation)}{default(field)}* |"
        for name, field in model.model_fields.items()
    )
    title = (
        "The whole"
        if model is Task
        else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", model.__name__).capitalize()
    )
    about = " ".join((model.__doc__ or "").split())
    return f"## {title}\n\n{about}\n\n| key | says |\n|---|---|\n{rows}\n"


def kind(annotation: Any) -> str:
    """An annotation in words."""
    names = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        type(None): "",
    }
    if annotation in names:
        return names[annotation]
    if models_in(annotation) == [annotation]:
        return f"[{annotation.__name__}](#{re.sub(r'(?<=[a-z])(?=[A-Z])', '-', annotation.__name__).lower()})"
    inner = getattr(annotation, "__args__", ())
    origin = getattr(annotation, "__origin__", None)
    if origin is list:
        return f"list of {kind(inner[0])}"
    if origin is dict:
        return f"{kind(inner[0])}: {kind(inner[1])}"
    return " or ".join(
        part if isinstance(part, str) else kind(part) for part in inner if part is not type(None)
    )


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


def flow(verdicts: dict[str, Verdict], columns: int) -> str:
    """The six stages with a gate after each, as SVG in so many columns; a stage of the run shows its verdict."""
    go = {
        stage: verdict.outcome or ("go" if verdict.go else "stop")
        for stage, verdict in verdicts.items()
    }
    width, height, step = 250 * columns - 50, 110 * (len(STAGES) // columns) - 20, columns
    parts = []
    for n, stage in enumerate(STAGES):
        x, y = 250 * (n % step), 110 * (n // step)
        words = "".join(
            f'<text x="{x + 14}" y="{y + 46 + 18 * line}">{escape(said)}</text>'
            for line, said in enumerate(ASKS[stage])
        )
        gate = (
            f'<text class="gate {go[stage].split()[0]}" x="{x + 186}" y="{y + 25}" text-anchor="end">{go[stage]}</text>'
            if stage in go
            else ""
        )
        parts.append(
            f'<rect x="{x + 1}" y="{y + 1}" width="198" height="80" rx="8"/><text class="name" x="{x + 14}" y="{y + 25}">{TITLES[stage]}</text>{gate}{words}'
        )
        if n + 1 < len(STAGES):
            same_row = f"M{x + 202} {y + 41}h38"
            next_row = f"M{x + 100} {y + 84}v12H100v10" if columns > 1 else f"M100 {y + 84}v18"
            parts.append(
                f'<path d="{same_row if (n + 1) % step else next_row}" marker-end="url(#to{columns})"/>'
            )
    head = f'<defs><marker id="to{columns}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="head" d="M0 0l8 4-8 4z"/></marker></defs>'
    text = (
        "The flow: "
        + ", ".join(f"{TITLES[s]} ({' '.join(ASKS[s])})" for s in STAGES)
        + ". A stage that says stop ends the run."
    )
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(text)}">{head}{"".join(parts)}</svg>'


def front(record: Record) -> str:
    """The front page's figures: the flow with the run's verdicts, and what the run found, as HTML."""
    verdicts, rows = record.verdicts, ""
    for stage, verdict in verdicts.items():
        rows += (
            f"<tr><td><a href='generated/reports/{stage}.html'>{TITLES[stage]}</a></td>"
            f"<td>{'go' if verdict.go else 'stop'}</td><td>{escape(verdict.answer)}</td></tr>"
        )
    return (
        f"<div class='flow wide'>{flow(verdicts, 3)}</div>"
        f"<div class='flow narrow'>{flow(verdicts, 1)}</div>"
        f"<p>The run of {record.started} (UTC) on the task <b>{escape(record.task)}</b> "
        f"took {record.seconds:.0f} seconds and ended in <b>{escape(record.outcome)}</b>:</p>"
        "<div class='scroll' tabindex='0'><table class='table'><thead><tr><th>Stage</th>"
        f"<th>Gate</th><th>Its answer</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
