"""A monitoring report as people and Prometheus read it: a page under reports/, and a text file."""

from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from ..report.page import STYLE
from ..store.files import root, write_text
from ..store.run import Verdict, reports
from .monitor import Report

FIGURES = {
    "findings": ("findings in the window", []),
    "decisions": ("decisions in the window", []),
    "money_per_decision": ("what a mature decision earned, in the task's currency", []),
    "money_promised": ("what the holdout promised of a decision, in the task's currency", []),
    "drift_psi": ("population stability index against the training part", ["column"]),
    "decision_share": ("share of decisions with this action", ["action"]),
}
"""What each figure tells, and by what there are many of it."""
PAGE = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width">'
    "<title>Monitoring of {task}</title>{style}"
    "<style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;margin:0}}"
    "table{{border-collapse:collapse}}th{{text-align:left;font-weight:500}}th,td{{padding:"
    ".2em 1.5em .2em 0;border-bottom:1px solid #8883;vertical-align:top}}</style></head>"
    '<body><nav class="run-nav"><b>Monitoring</b><a href="index.html">All runs</a></nav>'
    "<main><h1>Monitoring of {task}</h1>{verdict}{findings}<p>Counts, outcomes and money are sums "
    "over all decisions of the window. Columns and scores are compared on an even sample of "
    "{report.sample_size:,} of them.</p><h2>Figures</h2>{figures}</main></body></html>"
)


def write_report(task: str, report: Report) -> Path:
    """The page under reports/, and the figures in var/monitor/; the page's path."""
    write_text(root() / "var" / "monitor" / f"{task}.prom", prometheus(task, report))
    name = f"monitor-{task}-{datetime.now(UTC):%Y%m%dT%H%M%S}.html"
    return write_text(reports() / name, page(task, report))


def prometheus(task: str, report: Report) -> str:
    """The figures in Prometheus' text format, for its textfile collector."""
    registry = CollectorRegistry()
    for name, figure in report.figures.items():
        meaning, labels = FIGURES[name]
        gauge = Gauge(
            f"ml_workflow_{name}", f"Monitoring: {meaning}.", ["task", *labels], registry=registry
        )
        if isinstance(figure, dict):
            for label, number in figure.items():
                gauge.labels(task, label).set(number)
        else:
            gauge.labels(task).set(figure)
    return generate_latest(registry).decode()


def page(task: str, report: Report) -> str:
    """The report as HTML that stands alone."""
    count = len(report.findings)
    verdict = Verdict(
        not count,
        f"{escape(report.version)}, {report.decisions:,} decisions",
        outcome=f"{count} finding{'s' * (count > 1)}" if count else "nothing moved",
    )
    return PAGE.format(
        task=escape(task),
        style=STYLE,
        verdict=verdict._repr_html_(),
        findings=table(report.findings),
        report=report,
        figures="".join(figure_html(name, figure) for name, figure in report.figures.items()),
    )


def figure_html(name: str, figure: float | dict[str, float]) -> str:
    """A figure as a line, or many of it as a table, the largest first."""
    meaning = FIGURES[name][0].capitalize()
    if not isinstance(figure, dict):
        return f"<p>{meaning}: <b>{figure:,.4g}</b></p>"
    largest = sorted(figure, key=lambda label: -figure[label])
    rows = table({label: f"{figure[label]:.3f}" for label in largest})
    return f"<h3>{meaning}</h3>{rows}" if figure else ""


def table(rows: Mapping[str, str]) -> str:
    """Texts by their names as a table."""
    cells = (f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in rows.items())
    return f"<table>{''.join(cells)}</table>"
