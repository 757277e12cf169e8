"""Retraining that cannot make things worse: the champion serves on until a challenger surely earns more on fresh rows."""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..define import examples, outcome, sources, value
from ..errors import Refusal
from ..run.chain import Plan
from ..run.chain import run as chain
from ..run.kernels import kernels
from ..run.pages import usual_seconds
from ..serve.score import as_promised
from ..statistics.bootstrap import interval_of_mean
from ..store.decisions import open as opened
from ..store.files import read_frame, root, write_frame
from ..store.registry import promote, registered, versions
from ..store.release import Release
from ..store.run import reports
from ..store.task import Source, Task, read_task, task_path, write_task
from .monitor import champion, waiting
from .traffic import HOUR, sampled, told, traffic

FEWEST = 200  # fresh rows from which a challenger is judged on these alone
MOST = 200_000  # decisions that a table is made of


class Retrained(NamedTuple):
    """Whether the challenger serves, why or why not in a sentence, its version, and what the outcomes do not tell."""

    promoted: bool
    reason: str
    version: str
    warnings: list[str]


class Matured(NamedTuple):
    """Rows with an outcome, and what must be said of them."""

    rows: pd.DataFrame
    warnings: list[str]


def better(gains: np.ndarray, margin: float, seed: int = 0) -> tuple[bool, list[float]]:
    """Whether challenger less champion a row, shape (n,), surely exceeds the margin: lower end of the 95 % bootstrap interval; and the interval."""
    interval = interval_of_mean(gains, seed=seed)
    return interval.lower > margin, list(interval)


def retrain(url: str, name: str, parameters: dict[str, dict[str, Any]], screen: Callable[..., Any], now: float | None = None) -> Retrained:
    """A challenger from the sources and matured outcomes by stages 00 to 04, made champion if it is surely better.

    Raises Refusal or Fault in a sentence; the champion is as it was then.
    """
    with alone(name):
        task = read_task(task_path(name))
        serving, release = champion(name)
        known = matured(url, task, release, now if now is not None else time.time())
        place, added = new_task(task, known.rows, release.card["rows"])
        record = learned(place, task, parameters, screen)
        return judged(task, serving, release, record, added, known.warnings)


@contextmanager
def alone(name: str) -> Iterator[None]:
    """No other retraining of the task on this machine meanwhile; the lock ends with its process."""
    path = root() / "var" / "retrain" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(f"{name} is being retrained by another process: wait until it has ended.") from None
        yield


def matured(url: str, task: Task, release: Release, now: float) -> Matured:
    """What came of decisions that had time to show it, newest last: inputs, unit and target."""
    engine, until = opened(url), ((now - waiting(task)) // HOUR) * HOUR
    seen = sampled(engine, task.name, traffic(engine, task.name, 0, until), MOST)
    engine.dispose()
    known = seen[seen["worth"].notna()].reset_index(drop=True)
    if known.empty:
        return Matured(pd.DataFrame(), ["no outcome has come yet, so only the sources are learned from"])
    frame = as_promised(release.contract, pd.DataFrame(list(known["row"])).reindex(columns=list(release.contract)))
    classes = release.card["classes"]
    truth = told(task, frame, known["action"].to_numpy(), known["worth"].to_numpy(), classes)
    clear = ~np.isnan(truth)
    warnings = feedback(known, clear)
    keep = clear & thinned(known, clear)
    labels = labels_of(task, truth[keep], classes)
    return Matured(frame[keep].assign(**{task.unit: known.loc[keep, "unit"], task.target.column: labels}).drop_duplicates(task.unit, keep="last").reset_index(drop=True), warnings)


def feedback(known: pd.DataFrame, clear: np.ndarray) -> list[str]:
    """What outcomes cannot tell because of what was decided."""
    said = []
    hidden = sorted(set(known["action"]) - set(known.loc[clear, "action"]))
    if hidden:
        said.append(f"outcomes show what would have happened only where it was not decided {' or '.join(hidden)}: {(~clear).mean():.0%} of the decisions tell nothing")
    if hidden and not (known["propensity"] < 1).any():
        said.append("no decision was left to chance, so these rows are not like all: give /decide an exploration share")
    return said


def thinned(known: pd.DataFrame, clear: np.ndarray) -> np.ndarray:
    """Which rows to keep so that all were as likely to be seen: each with the chance smallest propensity / its own.

    Rejection by inverse propensity (von Neumann 1951) needs no weights in the stages. Without chance in the decisions all are kept.
    """
    chance = known["propensity"].fillna(1).to_numpy(dtype=float)
    explored = clear & (chance < 1)
    if not explored.any():
        return np.ones(len(known), dtype=bool)
    return (chance < 1) & (np.random.default_rng(0).random(len(known)) < chance[explored].min() / chance)


def labels_of(task: Task, truth: np.ndarray, classes: list[str]) -> Any:
    """Class numbers as the target's column has them."""
    if task.target.kind == "binary":
        positive = task.target.positive
        other = 0 if positive in (1, True, "1") else f"not {positive}"
        return [positive if t else other for t in truth]
    return [classes[int(t)] for t in truth]


def new_task(task: Task, rows: pd.DataFrame, learned_from: int) -> tuple[Path, set[str]]:
    """The task on a new table: the newest rows, outcomes before sources, as many as the champion's whole table had; and the new units."""
    table = examples(task, sources(task))
    size = max(len(table), learned_from)
    new = rows.tail(size)
    if len(new):
        new = new.assign(**{c: new[c].astype(table[c].dtype) for c in (task.unit, task.target.column) if fits(new[c], table[c])})
        table = table[~table[task.unit].astype(str).isin(set(new[task.unit].astype(str)))]
    old = table.sample(min(len(table), size - len(new)), random_state=0).sort_index()
    place = root() / "var" / "retrain" / task.name
    write_frame(place / "table.parquet", pd.concat([old, new.reindex(columns=table.columns)] if len(new) else [old], ignore_index=True))
    first = Source(name=task.sources[0].name, uri=str(place / "table.parquet"), time=task.sources[0].time)
    return write_task(place / f"{task.name}.yaml", task.model_copy(update={"sources": [first]})), set(new[task.unit].astype(str)) if len(new) else set()


def fits(new: "pd.Series[Any]", old: "pd.Series[Any]") -> bool:
    """Whether the new values can be of the old column's type."""
    try:
        new.astype(old.dtype)
    except (TypeError, ValueError):
        return False
    return True


def learned(place: Path, task: Task, parameters: dict[str, dict[str, Any]], screen: Callable[..., Any]) -> dict[str, Any]:
    """The record of stages 00 to 04 on the new table, by the same notebooks."""
    with kernels("auto") as pool:
        shown = screen(task.question, usual_seconds(task.name))
        try:
            return chain(Plan(str(place), parameters, "04_scale", "02_dataset", name=task.name), pool, shown)
        finally:
            shown.close()


def judged(task: Task, serving: str, release: Release, record: dict[str, Any], added: set[str], warnings: list[str]) -> Retrained:
    """Promote the challenger of a run, or say why not."""
    last = [s for s in record["stages"] if s["status"] != "pending"][-1]
    version = next((v for v in versions(task.name) if v.run == record["run"]), None)
    if not last["verdict"]["go"] or version is None:
        return Retrained(False, f"{serving} serves on; the new run stops in {last['name']}: {last['verdict']['answer']}", version.number if version else "", warnings)
    challenger = registered(task.name, version.number)
    holdout = read_frame(reports() / record["run"] / "files" / "holdout.parquet")
    recent = holdout[holdout[task.unit].astype(str).isin(added)]
    fresh = recent if len(recent) >= FEWEST else holdout
    surely, (low, estimate, high) = better(earned(task, challenger, fresh) - earned(task, release, fresh), task.retrain.margin)
    said = f"On {len(fresh):,} fresh rows version {version.number} earns {estimate:+,.4g} {task.value.currency} a decision against {serving} ({low:+,.4g} … {high:+,.4g}, margin {task.retrain.margin:g})"
    if not surely:
        return Retrained(False, f"{said}: that is not surely better, so it stays challenger and {serving} serves on.", version.number, warnings)
    if champion(task.name)[0] != serving:
        return Retrained(False, f"{said}, but another version was made champion meanwhile: it stays challenger.", version.number, warnings)
    promote(task.name, version.number)
    return Retrained(True, f"{said}: it serves now.", version.number, warnings)


def earned(task: Task, release: Release, rows: pd.DataFrame) -> np.ndarray:
    """What each row earns when the release decides, in the currency, shape (n,)."""
    return value(task, rows, np.asarray(release.decide(rows, release.score(rows))), outcome(task, rows))
