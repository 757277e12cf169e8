"""The registered releases as a table for people."""

import json

import pandas as pd

from ..model.registry import Version, versions
from ..store.run import reports


def table(task: str) -> pd.DataFrame:
    """A row a version, the newest first: version, alias, run, net value a month with its interval, metric, live from."""
    return pd.DataFrame([_row(version) for version in versions(task)])


def _row(version: Version) -> dict[str, str]:
    net = _interval(version.run) or [
        version.figures[name] for name in ("net_value_per_month",) if name in version.figures
    ]
    others = {
        name: value for name, value in version.figures.items() if name != "net_value_per_month"
    }
    return {
        "version": version.number,
        "alias": ", ".join(version.aliases),
        "run": version.run,
        "net value a month": " to ".join(f"{bound:,.0f}" for bound in net[::2])
        + (f" ({net[1]:,.0f})" if len(net) > 1 else ""),
        "metric": ", ".join(f"{name} {value:.4g}" for name, value in others.items()),
        "live from": f"{version.champion_since:%Y-%m-%d %H:%M} UTC"
        if version.champion_since
        else "",
    }


def _interval(run: str) -> list[float]:
    """[lower, estimate, upper] as the run's record has it; nothing where the run is no longer here."""
    path = reports() / run / "run.json"
    stages = json.loads(path.read_text(encoding="utf-8"))["stages"] if run and path.exists() else []
    return next(
        (
            s["verdict"]["figures"]["net_value_per_month"]
            for s in stages
            if s["name"] == "04_scale" and s.get("verdict")
        ),
        [],
    )
