"""The registered releases as a table for people."""

import pandas as pd

from ..model.registry import Version, versions
from ..report.records import read_record
from ..store.run import reports

NET = "net_value_per_month"


def table(task: str) -> pd.DataFrame:
    """A row a version, the newest first; every cell is text."""
    return pd.DataFrame([_row(version) for version in versions(task)])


def _row(version: Version) -> dict[str, str]:
    since = version.champion_since
    return {
        "version": version.number,
        "alias": ", ".join(version.aliases),
        "run": version.run,
        "net value a month": _net_value(version),
        "metric": ", ".join(f"{k} {v:.4g}" for k, v in version.figures.items() if k != NET),
        "live from": f"{since:%Y-%m-%d %H:%M} UTC" if since else "",
    }


def _net_value(version: Version) -> str:
    """Lower to upper bound with the estimate, as the run's record has it; else the estimate."""
    path = reports() / version.run / "run.json"
    verdicts = read_record(path).verdicts if version.run and path.exists() else {}
    if "04_scale" in verdicts:
        lower, estimate, upper = verdicts["04_scale"].figures[NET]
        return f"{lower:,.0f} to {upper:,.0f} ({estimate:,.0f})"
    return f"{version.figures[NET]:,.0f}" if NET in version.figures else ""
