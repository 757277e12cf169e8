"""The pages people read: a stage's notebook as HTML that stands alone, and the index of all runs."""

import json
import math
import re
import warnings
from datetime import datetime
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import nbformat

from ..store.files import write_text
from ..store.run import STAGES, reports

TITLES = {
    "00_define": "Define",
    "01_research": "Research",
    "02_dataset": "Dataset",
    "03_poc": "Proof of concept",
    "04_scale": "Scale",
    "05_abtest": "A/B test",
}

STYLE = """<style>
.run-nav{font:14px/1.5 system-ui,sans-serif;padding:.7em 1.5em;border-bottom:1px solid #8884;display:flex;flex-wrap:wrap;gap:.3em 1.2em}
.run-nav a{color:#0b57a4;text-decoration:none}.run-nav b{text-decoration:none}
body.jp-Notebook,main{max-width:62rem;margin:0 auto!important;padding:0 1rem}
.run-top{max-width:62rem;margin:1rem auto 0;padding:0 1rem;font-family:system-ui,sans-serif}
.jp-RenderedHTMLCommon table{margin-left:0!important;font-size:13px}.jp-RenderedImage img{max-width:100%}
.jp-OutputPrompt,.jp-InputPrompt{display:none!important}.jp-OutputArea-output{overflow-x:auto}
@media print{.run-nav{display:none}}@media(max-width:600px){.run-nav{padding:.7em}}
</style>"""


def as_guide(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy without directives, injected parameters, messages to stderr and places of this machine; each figure says in `alt` what it is about."""
    copy = nbformat.from_dict(json.loads(json.dumps(notebook)))
    copy.cells = [_clean(cell) for cell in copy.cells if not _hidden(cell)]
    _describe(copy.cells)
    return copy


def as_report(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The guide without parameters and cells that show nothing, for those who read no code."""
    copy = as_guide(notebook)
    copy.cells = [cell for cell in copy.cells if cell.cell_type != "code" or cell.outputs]
    return copy


def figures(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """The PNG of each figure, in base64, with its text for those who do not see it."""
    return [
        (output.data["image/png"], cell.metadata["alt"])
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]


def _hidden(cell: nbformat.NotebookNode) -> bool:
    tags = {"papermill-error-cell-tag", "injected-parameters"} & set(cell.metadata.get("tags", []))
    return bool(tags or re.match(r"#\|\s*(hide|default_exp)", cell.source))


def _clean(cell: nbformat.NotebookNode) -> nbformat.NotebookNode:
    if cell.cell_type == "code":
        cell.source = "\n".join(
            line for line in cell.source.splitlines() if not line.startswith("#|")
        )
        cell.outputs = [
            o
            for o in cell.outputs
            if not (o.output_type == "stream" and o.name == "stderr") and not _is_path(o)
        ]
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                output.data.pop("text/plain", None)
            if said := re.fullmatch(
                r"(['\"])([^\\\n]*)\1", output.get("data", {}).get("text/plain", "")
            ):  # a sentence reads better without Python's quotes
                output.data["text/plain"] = said[2]
            if 'data-manager="ColumnFilter"' in output.get("data", {}).get(
                "text/html", ""
            ):  # skrub's list has no name for those who do not see it
                output.data["text/html"] = output.data["text/html"].replace(
                    "<select", '<select aria-label="Filter columns"'
                )
    return cell


def _is_path(output: nbformat.NotebookNode) -> bool:
    """Whether a cell shows where it wrote: a place of this machine, and nothing that was found."""
    return str(output.get("data", {}).get("text/plain", "")).startswith(
        ("PosixPath(", "WindowsPath(")
    )


def _describe(cells: list[nbformat.NotebookNode]) -> None:
    """Let each code cell know, as `alt`, the heading it stands under and the first sentence of the prose before it."""
    heading, said = "", ""
    for cell in cells:
        if cell.cell_type == "markdown":
            titles = re.findall(r"^#+ (.+)$", cell.source, re.M)
            heading = titles[-1] if titles else heading
            prose = " ".join(
                line for line in cell.source.splitlines() if not line.startswith("#")
            ).strip()
            said = re.split(r"(?<=[.?!])\s", prose)[0] or said
        else:
            cell.metadata["alt"] = re.sub(r"[*`]", "", f"Figure: {heading}. {said}")


@cache
def _exporter() -> Any:
    from nbconvert import HTMLExporter

    empty = (
        "mathjax_url",
        "require_js_url",
        "jquery_url",
        "jupyter_widgets_base_url",
        "widget_renderer_url",
        "mermaid_js_url",
        "mermaid_layout_elk_js_url",
    )
    return HTMLExporter(
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        embed_images=True,
        **dict.fromkeys(empty, ""),
    )


def page(notebook: nbformat.NotebookNode, stage: str, verdict: str) -> str:
    """A stage's report as HTML: code hidden, figures inside, no address outside, the verdict on top."""
    shown = as_report(notebook)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body, _ = _exporter().from_notebook_node(shown)
    body = re.sub(r"<title>.*?</title>", f"<title>{TITLES[stage]}</title>", body, count=1)
    texts = iter([text for _, text in figures(shown)])
    body = re.sub(
        'alt="No description has been provided for this image"',
        lambda _: f'alt="{escape(next(texts, TITLES[stage]))}"',
        body,
    )
    links = [
        f"<b>{TITLES[s]}</b>" if s == stage else f'<a href="{s}.html">{TITLES[s]}</a>'
        for s in STAGES
    ]
    top = f'<nav class="run-nav">{"".join(links)}<a href="index.html">The run</a><a href="../index.html">All runs</a></nav><div class="run-top">{verdict}</div>'
    return re.sub(
        r"(<body[^>]*>)",
        lambda m: m[1] + top,
        body.replace("</head>", STYLE + "</head>", 1),
        count=1,
    )


def write_page(folder: Path, stage: str, verdict: str) -> Path:
    """Render the executed notebook of a stage beside it."""
    notebook = nbformat.read(folder / f"{stage}.ipynb", as_version=4)
    return write_text(folder / f"{stage}.html", page(notebook, stage, verdict))


def records() -> list[dict[str, Any]]:
    """The records of all runs, newest first; what cannot be read is left out."""
    found = []
    for path in reports().glob("*/run.json"):
        if not path.parent.is_symlink():
            try:
                found.append(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, json.JSONDecodeError):
                continue
    return sorted(found, key=lambda r: r["run"].rsplit("-", 2)[1:], reverse=True)


def usual_seconds(task: str) -> dict[str, float]:
    """How long each stage of a task took when it last ran, in seconds; stages that never ran are left out."""
    ended = [
        s
        for r in records()
        if r["task"] == task
        for s in r["stages"]
        if s["status"] in ("done", "stopped") and s["seconds"]
    ]
    return {s["name"]: s["seconds"] for s in reversed(ended)}


def write_index() -> Path:
    """reports/index.html: every run with its parameters, figures, verdict and inputs; static, opens from disk."""
    shared: dict[str, int] = {}
    runs = [summary(record, shared) for record in records()]
    data = json.dumps(
        {"runs": runs, "shared": [json.loads(text) for text in shared]},
        separators=(",", ":"),
        ensure_ascii=False,
    )
    template = Path(__file__).with_name("index.html").read_text(encoding="utf-8")
    return write_text(
        reports() / "index.html", template.replace("RUNS", data.replace("<", "\\u003c"), 1)
    )


def summary(record: dict[str, Any], shared: dict[str, int]) -> dict[str, Any]:
    """What the index shows of a run; hashes and versions, which many runs have alike, are put in `shared` once."""
    ended = [s for s in record["stages"] if s["status"] != "pending"]
    last: dict[str, Any] = next((s["verdict"] for s in reversed(ended) if s.get("verdict")), {})
    outcome = (
        record["outcome"]
        if record["outcome"] != "pending"
        else f"until {ended[-1]['name']}"
        if ended
        else "not begun"
    )
    return {
        "run": record["run"],
        "task": record["task"],
        "sweep": record.get("sweep", {}).get("name", ""),
        "outcome": outcome,
        "currency": currency(record["run"]),
        "started": written(record["run"]),
        "seconds": round(sum(s["seconds"] or 0 for s in ended), 1),
        "parameters": {
            f"{stage}.{name}": value
            for stage, values in record["parameters"].items()
            for name, value in values.items()
        },
        "figures": {
            name: figure for name, figure in last.get("figures", {}).items() if _plottable(figure)
        },
        "answer": last.get("answer", "")
        if record["outcome"] != "failed"
        else ended[-1].get("error", ""),
        "stages": [(s["name"], s["status"]) for s in ended],
        "inputs": [shared.setdefault(json.dumps(facts), len(shared)) for facts in inputs(record)],
    }


def written(run: str) -> str:
    """The time in a run's name, as people write it."""
    return f"{datetime.strptime(run.rsplit('-', 2)[1], '%Y%m%dT%H%M%S'):%Y-%m-%d %H:%M:%S}"


def _plottable(figure: Any) -> bool:
    numbers = figure if isinstance(figure, list) and len(figure) == 3 else [figure]
    return all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers)


def currency(run: str) -> str:
    """The currency of a run's task, as stage 00 kept it."""
    path = reports() / run / "files" / "task.yaml"
    found = (
        re.search(r"^ +currency: *(.+)$", path.read_text(encoding="utf-8"), re.M)
        if path.exists()
        else None
    )
    return found[1].strip("'\" ") if found else ""


def inputs(record: dict[str, Any]) -> list[dict[str, str]]:
    """What a run depends on: the hashes of task, data and notebooks, of the package's modules, and the versions of libraries."""
    read = {
        name: sha
        for s in record["stages"]
        for name, sha in s["inputs"]["files"].items()
        if "/" in name
    }
    modules = {name: sha for s in record["stages"] for name, sha in s["inputs"]["modules"].items()}
    code = {f"nbs/{s['name']}.ipynb": s["inputs"]["notebook"] for s in record["stages"]}
    return [
        {name: sha[:8] for name, sha in {**read, **code}.items()},
        {name: sha[:8] for name, sha in modules.items()},
        record["versions"],
    ]
