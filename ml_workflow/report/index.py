"""The index of all runs: a page that compares them, from disk."""

import json
from pathlib import Path
from typing import Any

from ..store.files import write_text
from ..store.run import reports
from .records import Record, is_finite, records


def write_index() -> Path:
    """Write reports/index.html: every run with parameters, figures, verdict and inputs."""
    shared: dict[str, int] = {}
    runs = [row(record, shared) for record in records()]
    content = {"runs": runs, "shared": [json.loads(text) for text in shared]}
    data = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    template = Path(__file__).with_name("index.html").read_text(encoding="utf-8")
    page = template.replace("RUNS", data.replace("<", "\\u003c"), 1)
    return write_text(reports() / "index.html", page)


def row(record: Record, shared: dict[str, int]) -> dict[str, Any]:
    """What the index shows of a run, for its script.

    Hashes and versions, which many runs have alike, are put in `shared` once.
    """
    begun = record.begun
    return {
        "run": record.run,
        "task": record.task,
        "sweep": record.sweep.name if record.sweep else "",
        "outcome": record.reached,
        "currency": record.currency,
        "started": str(record.started),
        "seconds": round(record.seconds, 1),
        "parameters": record.named_parameters,
        "figures": figures(record),
        "answer": begun[-1].answer if begun else "",
        "stages": [(stage.name, stage.status) for stage in begun],
        "inputs": [shared.setdefault(json.dumps(part), len(shared)) for part in inputs(record)],
    }


def figures(record: Record) -> dict[str, Any]:
    """The figures of the last verdict that are a number, or three finite ones."""
    figures = record.last_figures.items()
    return {name: figure for name, figure in figures if all(map(is_finite, parts(figure)))}


def parts(figure: Any) -> list[Any]:
    """The three numbers of [lower, estimate, upper], or the one that it is."""
    return figure if isinstance(figure, list) and len(figure) == 3 else [figure]


def inputs(record: Record) -> list[dict[str, str]]:
    """What a run depends on: hashes of task, data and notebooks; of modules; versions."""
    files: dict[str, str] = {}
    modules: dict[str, str] = {}
    for stage in record.stages:
        read = {name: sha for name, sha in stage.inputs.files.items() if "/" in name}
        files |= {**read, f"nbs/{stage.name}.ipynb": stage.inputs.notebook}
        modules |= stage.inputs.modules
    hashes = [{name: sha[:8] for name, sha in part.items()} for part in (files, modules)]
    return [*hashes, record.versions]
