"""The page of a notebook: its report as HTML that stands alone."""

import re
import warnings
from copy import deepcopy
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from ..store.files import write_text
from ..store.run import Verdict

TITLES = {
    "00_define": "Define",
    "01_research": "Research",
    "02_dataset": "Dataset",
    "03_poc": "Proof of concept",
    "04_scale": "Scale",
    "05_abtest": "A/B test",
}
STYLE = """<style>
.run-nav{font:14px/1.5 system-ui,sans-serif;padding:.7em 1.5em;border-bottom:1px solid #8884}
.run-nav{display:flex;flex-wrap:wrap;gap:.3em 1.2em}
.run-nav a{color:#0b57a4;text-decoration:none}.run-nav b{text-decoration:none}
body.jp-Notebook,main{max-width:62rem;margin:0 auto!important;padding:0 1rem}
.run-top{max-width:62rem;margin:1rem auto 0;padding:0 1rem;font-family:system-ui,sans-serif}
.jp-RenderedHTMLCommon table{margin-left:0!important;font-size:13px}
.jp-RenderedImage img{max-width:100%}.jp-OutputArea-output{overflow-x:auto}
.jp-OutputPrompt,.jp-InputPrompt{display:none!important}
@media print{.run-nav{display:none}}@media(max-width:600px){.run-nav{padding:.7em}}
</style>"""
OUTSIDE = [
    "mathjax_url",
    "require_js_url",
    "jquery_url",
    "jupyter_widgets_base_url",
    "widget_renderer_url",
    "mermaid_js_url",
    "mermaid_layout_elk_js_url",
]
"""What nbconvert would load from elsewhere."""
NO_ALT = "No description has been provided for this image"
"""What nbconvert says of a figure."""


def as_guide(notebook: NotebookNode) -> NotebookNode:
    """A copy for people: no directives, no injected parameters, nothing of stderr or this machine.

    What the figures of a cell are about stands as `alt` in its metadata.
    """
    guide = deepcopy(notebook)
    guide.cells = [cell for cell in guide.cells if not _is_hidden(cell)]
    for cell in guide.cells:
        if cell.cell_type == "code":
            _clean(cell)
    _describe(guide.cells)
    return guide


def as_report(notebook: NotebookNode) -> NotebookNode:
    """The guide without cells that show nothing, for those who read no code."""
    report = as_guide(notebook)
    report.cells = [cell for cell in report.cells if cell.cell_type != "code" or cell.outputs]
    return report


def images(report: NotebookNode) -> list[tuple[str, str]]:
    """The PNG of each figure of a report, in base64, with its text for those who do not see it."""
    return [
        (output.data["image/png"], cell.metadata["alt"])
        for cell in report.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


def _is_hidden(cell: NotebookNode) -> bool:
    hidden = {"papermill-error-cell-tag", "injected-parameters"}
    tagged = hidden & set(cell.metadata.get("tags", []))
    return bool(tagged or re.match(r"#\|\s*(hide|default_exp)", cell.source))


def _clean(cell: NotebookNode) -> None:
    """Take off a code cell what people need not see."""
    lines = [line for line in cell.source.splitlines() if not line.startswith("#|")]
    cell.source = "\n".join(lines)
    cell.outputs = [output for output in cell.outputs if not _is_noise(output)]
    for output in cell.outputs:
        shown = output.get("data", {})
        if "image/png" in shown:
            shown.pop("text/plain", None)
        if "text/plain" in shown:  # a sentence without Python's quotes
            shown["text/plain"] = re.sub(r"\A(['\"])([^\\\n]*)\1\Z", r"\2", shown["text/plain"])
        if 'data-manager="ColumnFilter"' in shown.get("text/html", ""):
            # skrub's list of columns, with a name for those who do not see it
            label = '<select aria-label="Filter columns"'
            shown["text/html"] = shown["text/html"].replace("<select", label)


def _is_noise(output: NotebookNode) -> bool:
    """Whether an output is a message to stderr, or says where on this machine a cell wrote."""
    text = str(output.get("data", {}).get("text/plain", ""))
    return output.get("name") == "stderr" or text.startswith(("PosixPath(", "WindowsPath("))


def _describe(cells: list[NotebookNode]) -> None:
    """Let each figure say the heading above it and the first sentence of the prose before it."""
    heading, sentence = "", ""
    for cell in cells:
        if cell.cell_type == "markdown":
            heading = (re.findall(r"^#+ (.+)$", cell.source, re.M) or [heading])[-1]
            prose = re.sub(r"^#.*$", "", cell.source, flags=re.M).strip().replace("\n", " ")
            sentence = re.split(r"(?<=[.?!])\s", prose)[0] or sentence
            continue
        cell.metadata["alt"] = re.sub(r"[*`]", "", f"Figure: {heading}. {sentence}")


@cache
def _exporter() -> Any:
    from nbconvert import HTMLExporter

    hidden = ("exclude_input", "exclude_input_prompt", "exclude_output_prompt", "embed_images")
    return HTMLExporter(**dict.fromkeys(hidden, True), **dict.fromkeys(OUTSIDE, ""))


def as_html(notebook: NotebookNode, stage: str, verdict: Verdict) -> str:
    """A stage's report: code hidden, figures inside, no address outside, the verdict on top."""
    report = as_report(notebook)
    report.metadata["title"] = TITLES[stage]
    with warnings.catch_warnings(action="ignore"):
        body, _ = _exporter().from_notebook_node(report)
    texts = iter([escape(text) for _, text in images(report)])
    body = re.sub(f'alt="{NO_ALT}"', lambda _: f'alt="{next(texts, TITLES[stage])}"', body)
    pages = [(f"{name}.html", title) for name, title in TITLES.items()]
    links = [
        f"<b>{title}</b>" if page == f"{stage}.html" else f'<a href="{page}">{title}</a>'
        for page, title in [*pages, ("index.html", "The run"), ("../index.html", "All runs")]
    ]
    top = (
        f'<nav class="run-nav">{"".join(links)}</nav>'
        f'<div class="run-top">{verdict._repr_html_()}</div>'
    )
    body = body.replace("</head>", f"{STYLE}</head>", 1)
    return re.sub(r"<body[^>]*>", lambda opening: opening[0] + top, body, count=1)


def write_page(folder: Path, stage: str, verdict: Verdict) -> Path:
    """Render the executed notebook of a stage beside it."""
    notebook = nbformat.read(folder / f"{stage}.ipynb", as_version=4)
    return write_text(folder / f"{stage}.html", as_html(notebook, stage, verdict))
