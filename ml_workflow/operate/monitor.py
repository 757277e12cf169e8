"""Is the world still the one that the champion learned from: a window of its decisions against its training part."""

import html
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from ..dataset import faults
from ..errors import Refusal
from ..research import inputs, losses
from ..run.pages import STYLE
from ..serve.score import as_promised
from ..statistics.drift import compare_categories, drifted
from ..statistics.window import ALPHA, WORSE, Window, alarms_of, plain, row_count, shift_of, window_of
from ..store.decisions import open as opened
from ..store.files import root, write_frame, write_text
from ..store.registry import place_of, registered, versions
from ..store.release import Release
from ..store.run import reports
from .traffic import HOUR, Traffic, sampled, told, traffic

USUAL = 8000  # rows of the training part that a window is held against, as in 04
BUSY = 20  # decisions an hour from which an hour without any is no chance
LATE = 0.1  # share of outcomes later than the task says that matters


class Reference(NamedTuple):
    """What a release learned from and promised: rows of its training part, strongest columns first, and its holdout's scores, decisions and worth."""

    inputs: pd.DataFrame
    promise: pd.DataFrame


class Report(NamedTuple):
    """Findings by what moved, each a sentence; figures by name and column; how many decisions; the version."""

    version: str
    decisions: int
    looked_at: int
    findings: dict[str, str]
    figures: dict[str, float]


def champion(task: str) -> tuple[str, Release]:
    """The champion as TASK/NUMBER, and its release."""
    found = next((v for v in versions(task) if "champion" in v.aliases), None)
    if found is None:
        raise Refusal(f"No version of {task} is champion: `ml-workflow promote {task} challenger` lets the newest serve.")
    return f"{task}/{found.number}", registered(task, found.number)


def reference(release: Release) -> Reference:
    """What the release is held against; made of its run once, then kept beside it, so that the run may go."""
    base = place_of(release.digest)
    places = [base.with_name(f"{base.name}.{name}.parquet") for name in Reference._fields]
    if not all(place.exists() for place in places):
        for place, frame in zip(places, _made(release), strict=True):
            write_frame(place, frame)
    return Reference(*(pd.read_parquet(place) for place in places))


def _made(release: Release) -> Reference:
    """The reference from the files of the run that made the release."""
    files, task = reports() / release.card["run"] / "files", release.task()
    if not (files / "scores.parquet").exists():
        raise Refusal(f"The run {release.card['run']} of the release is gone, so its training part is unknown: retrain, or bring back {files}.")
    development, holdout, scores = (pd.read_parquet(files / f"{name}.parquet") for name in ("dataset", "holdout", "scores"))
    strengths = json.loads((files / "dataset.json").read_text(encoding="utf-8"))["strengths"]
    table = inputs(task, development.sample(min(len(development), USUAL), random_state=0))
    kept = [c for c in strengths if c in table]
    promise = _judged(task, holdout, scores.filter(regex="^release_score").to_numpy(), scores["release_decision"].to_numpy(), scores["release_value"].to_numpy(), release.card["classes"])
    return Reference(table[[*kept, *table.columns.difference(kept, sort=False)]].reset_index(drop=True), promise)


def _judged(task: Any, rows: pd.DataFrame, scores: np.ndarray, actions: np.ndarray, worth: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Scores, decision, worth, and where the worth gives the outcome away loss and outcome less score."""
    truth = told(task, rows, actions, worth, classes)
    known = ~np.isnan(truth)
    flat = scores.squeeze(axis=1) if scores.ndim == 2 and scores.shape[1] == 1 else scores
    frame = pd.DataFrame(scores.reshape(len(rows), -1)).add_prefix("score ")
    frame = frame.assign(decision=pd.Series(actions).astype(str), worth=np.asarray(worth, dtype=float), loss=np.nan, gap=np.nan)
    if known.any():
        happened = truth[known].astype(int)
        window = window_of(rows[known], flat[known], happened, losses(task, flat[known], happened, classes))
        frame.loc[known, "loss"], frame.loc[known, "gap"] = window.losses, window.gaps
    return frame


def window_from(promise: pd.DataFrame, table: pd.DataFrame) -> Window:
    """Rows of inputs with scores, losses and gaps as drift is asked of them."""
    known = promise.dropna(subset=["loss"])
    scores = promise.filter(regex="^score ")
    return Window(table, scores if len(scores) else None, *((known["loss"].to_numpy(), known["gap"].to_numpy()) if len(known) else (None, None)))


def monitor(url: str, task: str, days: float = 7, now: float | None = None) -> Report:
    """Hold the decisions of the last days against the champion's training part and promise; raises Refusal in a sentence.

    The whole is summed in the database; columns are compared on an even sample of the decisions.
    """
    version, release = champion(task)
    usual, engine = reference(release), opened(url)
    end = ((now if now is not None else time.time()) // HOUR) * HOUR + (0 if now is not None else HOUR)
    span, delay = max(days * 24 * HOUR, HOUR), waiting(release.task())
    every = traffic(engine, task, end - max(2 * span, span + delay), end)
    here = every.between(end - span, end)
    if not here.rows:
        return Report(version, 0, 0, {"volume": f"no decision of {task} in the last {days:g} days"}, {})
    seen = sampled(engine, task, here)
    old = sampled(engine, task, every.between(end - span - delay, end - delay)) if delay else seen
    engine.dispose()
    rows, judged = _rows(release, seen), _outcomes(release, version, old)
    scored = _scored(release, version, seen)
    windowed = window_from(scored.assign(loss=np.nan, gap=np.nan), rows)
    known = judged.dropna(subset=["loss"])
    window = Window(windowed.inputs, windowed.scores, *((known["loss"].to_numpy(), known["gap"].to_numpy()) if len(known) else (None, None)))
    held = window_from(usual.promise, usual.inputs)
    numeric = [str(c) for c in usual.inputs if c not in release.task().private]
    findings = {
        **contract(release, rows), **alarms_of(held, window, numeric, len(rows)), **volume(every, here, end, span), **gaps(every, here, end, span),
        **decision_rate(release, usual.promise, scored), **delays(old, delay), **money(release, usual.promise, judged),
    }  # fmt: skip
    return Report(version, here.rows, len(seen), findings, figures(usual, rows, scored, judged, findings))


def waiting(task: Any) -> float:
    """Seconds until the outcome of a decision is known."""
    text = task.target.known_after
    try:
        return 0.0 if text == "at once" else float(pd.Timedelta(text).total_seconds())
    except ValueError:
        raise Refusal(f"target.known_after is {text!r}: write `at once` or a time such as 30 days.") from None


def _rows(release: Release, seen: pd.DataFrame) -> pd.DataFrame:
    """The rows as given, typed as the contract says where they can be; columns that never came are missing."""
    frame = pd.DataFrame(list(seen["row"]))
    for column in release.contract.keys() - set(frame):
        frame[column] = np.nan
    read = as_promised(release.contract, frame)
    numbers = [c for c, rule in release.contract.items() if rule["type"] in ("integer", "number")]
    return read.assign(**{c: n for c in numbers if (n := pd.to_numeric(read[c], errors="coerce")).notna().sum() == read[c].notna().sum()})[list(release.contract)]


def _scored(release: Release, version: str, seen: pd.DataFrame) -> pd.DataFrame:
    """Score(s) and decision of what the champion decided."""
    own = seen[(seen["version"] == version) & seen["score"].notna()]
    values = np.array(own["score"].tolist(), dtype=float).reshape(len(own), -1) if len(own) else np.empty((0, 1))
    return pd.DataFrame(values).add_prefix("score ").assign(decision=own["action"].to_numpy(), time=own["time"].to_numpy())


def _outcomes(release: Release, version: str, old: pd.DataFrame) -> pd.DataFrame:
    """What came of the champion's decisions that had time to show it."""
    own = old[(old["version"] == version) & old["score"].notna() & old["worth"].notna()].reset_index(drop=True)
    if own.empty:
        return pd.DataFrame(columns=["loss", "gap", "worth"], dtype=float)
    scores = np.array(own["score"].tolist(), dtype=float).reshape(len(own), -1)
    return _judged(release.task(), _rows(release, own), scores, own["action"].to_numpy(), own["worth"].to_numpy(), release.card["classes"])


def contract(release: Release, rows: pd.DataFrame) -> dict[str, str]:
    """The rules of the release's contract that rows break."""
    found = faults(release.contract, rows, "", release.task().private).to_dict("records")
    return {f"contract, {f['column']}": f"{f['rule']}: broken in {f['rows']:,} of {len(rows):,} rows" for f in found}


def volume(every: Traffic, here: Traffic, end: float, span: float) -> dict[str, str]:
    """Far fewer or more decisions than in the window before, where there was one."""
    before = every.between(end - 2 * span, end - span)
    full = before.rows and int(before.sums["hour"].min()) <= (end - 2 * span) // HOUR + 1
    said = row_count(before.rows, here.rows) if full else ""
    return {"volume": said} if said else {}


def gaps(every: Traffic, here: Traffic, end: float, span: float) -> dict[str, str]:
    """More hours without a decision than in the window before, where an hour usually has many."""
    first = max(end - span, float(here.sums["hour"].min() * HOUR))
    empty, before = here.empty_hours(first, end - HOUR), every.between(end - 2 * span, end - span)
    usual = len(before.empty_hours(end - 2 * span, end - span)) if before.rows else 0
    if not empty or len(empty) <= usual or here.rows / here.sums["hour"].nunique() < BUSY:
        return {}
    return {"gap": f"{len(empty)} hours without a decision, the first at {datetime.fromtimestamp(empty[0] * HOUR, UTC):%Y-%m-%d %H:%M} UTC"}


def decision_rate(release: Release, promise: pd.DataFrame, scored: pd.DataFrame) -> dict[str, str]:
    """How often each action was taken, against the holdout."""
    if not release.card["classes"] or scored.empty:
        return {}
    before, now = (frame["decision"].value_counts().to_dict() for frame in (promise, scored))
    if not drifted({"": compare_categories(before, now)}, alpha=ALPHA)[""].drifted:
        return {}
    said = [f"{action} {before.get(action, 0) / len(promise):.1%}, now {now.get(action, 0) / len(scored):.1%}" for action in sorted({*before, *now}, key=str)]
    return {"decision rate": "; ".join(said)}


def delays(old: pd.DataFrame, delay: float) -> dict[str, str]:
    """Outcomes that should be there by now and are not, or came late; nothing where none ever came."""
    if not delay or old.empty or old["worth"].isna().all():
        return {}
    late = old["arrival"].isna() | (old["arrival"] - old["time"] > delay)
    return {"delay of outcomes": f"{late.mean():.0%} of the outcomes came later than after {delay / 86400:g} days, or not at all"} if late.mean() > LATE else {}


def money(release: Release, promise: pd.DataFrame, judged: pd.DataFrame) -> dict[str, str]:
    """What mature decisions earned each, where it falls short of the holdout by more than chance and a share that matters (Welch 1947)."""
    before, now = promise["worth"].to_numpy(), judged["worth"].to_numpy()
    if min(len(before), len(now)) < 10 or before.mean() - now.mean() <= WORSE * abs(before.mean()):
        return {}
    certain = stats.ttest_ind(now, before, equal_var=False, alternative="less").pvalue < ALPHA
    return {"money": f"a decision earned {now.mean():,.4g} {release.task().value.currency}, {before.mean():,.4g} were promised"} if certain else {}


def figures(usual: Reference, rows: pd.DataFrame, scored: pd.DataFrame, judged: pd.DataFrame, findings: dict[str, str]) -> dict[str, float]:
    """The figures behind a report, named as Prometheus names them."""
    table, now = plain(usual.inputs), plain(rows)
    shifts = {c: shift_of(table[c], now[c]).psi for c in table if c in now and table[c].notna().any()}
    scores = {c: shift_of(usual.promise[c], scored[c]).psi for c in scored.filter(regex="^score ") if len(scored)}
    found = {f'drift_psi{{column={json.dumps(c, ensure_ascii=False)}}}': value for c, value in {**shifts, **scores}.items()}
    found |= {f'decision_share{{action={json.dumps(a, ensure_ascii=False)}}}': share for a, share in scored["decision"].value_counts(normalize=True).items()} if scored["decision"].nunique() < 50 else {}
    found |= {"money_per_decision": float(judged["worth"].mean())} if len(judged) else {}
    return {**found, "money_promised": float(usual.promise["worth"].mean()), "findings": float(len(findings))}


def write_report(task: str, report: Report) -> Path:
    """The page under reports/, and the figures for Prometheus' textfile collector in var/monitor/; the page's path."""
    labels = {name: name.replace("{", f'{{task="{task}",') if "{" in name else f'{name}{{task="{task}"}}' for name in report.figures}
    lines = [f"ml_workflow_{labels[name]} {value:.10g}\n" for name, value in report.figures.items()]
    write_text(root() / "var" / "monitor" / f"{task}.prom", "".join(lines))
    return write_text(reports() / f"monitor-{task}-{datetime.now(UTC):%Y%m%dT%H%M%S}.html", page(task, report))


def page(task: str, report: Report) -> str:
    """The report as HTML that stands alone."""
    verdict, colour = (f"{len(report.findings)} findings", "#b3261e") if report.findings else ("Nothing moved", "#1a7f4b")
    found = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(said)}</td></tr>" for name, said in report.findings.items())
    rest = "".join(f"<tr><th>{html.escape(name)}</th><td>{value:,.4g}</td></tr>" for name, value in report.figures.items())
    top = f'<div style="border-left:6px solid {colour};padding:.6em 1em;margin:.6em 0;font-size:1.15em"><b style="color:{colour}">{verdict}</b></div>'
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Monitoring of {html.escape(task)}</title>{STYLE}'
        "<style>body{font:16px/1.5 system-ui,sans-serif}th{text-align:left;padding-right:1.5em;font-weight:500}</style></head>"
        f'<body><nav class="run-nav"><b>Monitoring</b><a href="index.html">All runs</a></nav><main><h1>{html.escape(report.version)}</h1>{top}'
        f"<p>{report.decisions:,} decisions; columns are compared on {report.looked_at:,} of them.</p><table>{found}</table><h2>Figures</h2><table>{rest}</table></main></body></html>"
    )
