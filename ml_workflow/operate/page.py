"""What monitoring found as people and Prometheus read it: a page under reports/, and a file for the textfile collector."""

from datetime import UTC, datetime
from html import escape
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from ..report.pages import STYLE
from ..store.files import root, write_text
from ..store.run import Verdict, reports
from .monitor import Report

FIGURES = {
    "findings": ("findings in the window", ""),
    "decisions": ("decisions in the window", ""),
    "money_per_decision": ("what a mature decision earned, in the task's currency", ""),
    "money_promised": ("what the holdout promised of a decision, in the task's currency", ""),
    "drift_psi": ("population stability index against the training part", "column"),
    "decision_share": ("share of decisions with this action", "action"),
}
"""What each figure tells, and by what there are many of it."""


def write_report(task: str, report: Report) -> Path:
    """The page under reports/, and the figures in var/monitor/; the page's path."""
    write_text(root() / "var" / "monitor" / f"{task}.prom", prometheus(task, report))
    return write_text(
        reports() / f"monitor-{task}-{datetime.now(UTC):%Y%m%dT%H%M%S}.html", page(task, report)
    )


def prometheus(task: str, report: Report) -> str:
    """The figures in Prometheus' text format."""
    registry = CollectorRegistry()
    for name, found in report.figures.items():
        said, label = FIGURES[name]
        gauge = Gauge(
            f"ml_workflow_{name}",
            f"Monitoring: {said}.",
            ["task", *([label] if label else [])],
            registry=registry,
        )
        for key, number in (found if isinstance(found, dict) else {"": found}).items():
            gauge.labels(task, *([key] if label else [])).set(number)
    return generate_latest(registry).decode()


def page(task: str, report: Report) -> str:
    """The report as HTML that stands alone."""
    count = len(report.findings)
    verdict = Verdict(
        not count,
        f"{escape(report.version)}, {report.decisions:,} decisions",
        outcome=f"{count} finding{'s' * (count > 1)}" if count else "nothing moved",
    )
    found = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(said)}</td></tr>"
        for name, said in report.findings.items()
    )
    said = f"Counts, outcomes and money are sums over all decisions of the window. Columns and scores are compared on an even sample of {report.looked_at:,} of them."
    parts = "".join(table(name, figure) for name, figure in report.figures.items())
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Monitoring of {escape(task)}</title>{STYLE}'
        "<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:0}table{border-collapse:collapse}th{text-align:left;font-weight:500}th,td{padding:.2em 1.5em .2em 0;border-bottom:1px solid #8883;vertical-align:top}</style></head>"
        f'<body><nav class="run-nav"><b>Monitoring</b><a href="index.html">All runs</a></nav><main><h1>Monitoring of {escape(task)}</h1>{verdict._repr_html_()}'
        f"<table>{found}</table><p>{said}</p><h2>Figures</h2>{parts}</main></body></html>"
    )


def table(name: str, figure: float | dict[str, float]) -> str:
    """A figure as a line, or many of it as a table, the largest first."""
    said = FIGURES[name][0].capitalize()
    if not isinstance(figure, dict):
        return f"<p>{said}: <b>{figure:,.4g}</b></p>"
    rows = "".join(
        f"<tr><th>{escape(key)}</th><td>{number:.3f}</td></tr>"
        for key, number in sorted(figure.items(), key=lambda pair: -pair[1])
    )
    return f"<h3>{said}</h3><table>{rows}</table>" if figure else ""
