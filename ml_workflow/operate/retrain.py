"""Retraining that cannot make things worse: a challenger serves only where it surely earns more."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..data.joins import examples
from ..decision.kinds import Array, Kind, kind_of
from ..errors import Refusal
from ..model.registry import aliases, champion, promote, registered, versions
from ..model.release import Release
from ..report.records import Record
from ..run.kernels import kernels
from ..run.stages import Parameters, Plan, Tell, run_stages
from ..statistics.bootstrap import interval_of_mean
from ..statistics.checks import Interval
from ..store.database import open_decisions
from ..store.files import read_frame, read_json, write_frame
from ..store.run import reports
from ..task.definition import Task
from ..task.file import read_task, task_path, write_task
from .feedback import class_indices
from .traffic import HOUR, rows_as_given, traffic_of

RECENT = 90 * 86400  # seconds: decisions of this span tell of today's world
ENOUGH = 10_000  # recent rows beside which older ones are not needed, to learn from and to judge on
FEWEST = 200  # recent rows of the holdout from which a challenger is judged on these alone
MOST = 200_000  # decisions that are read
REPLACED = "replaced.parquet"
"""In a retraining's run: units of the sources that its table does without."""


class Feedback(NamedTuple):
    """Rows of decisions whose outcomes are known, newest last, the outcome in the target's column.

    With the actions that hide it, the share of today's decisions for which the champion takes one
    of these, and what outcomes cannot tell, in sentences.
    """

    rows: pd.DataFrame
    hiding: list[str]
    hidden: float
    warnings: list[str]


class Retraining(NamedTuple):
    """Whether the challenger serves, why or why not, and what outcomes cannot tell."""

    promoted: bool
    reason: str
    warnings: list[str]


def retrain(
    url: str, name: str, parameters: Parameters, tell: Tell, now: float | None = None
) -> Retraining:
    """A challenger from the sources and recent feedback by stages 00 to 04, and whether it serves.

    Raises Refusal or Fault in a sentence; the champion is as it was then.
    """
    task = read_task(task_path(name))
    try:
        with lock(task.name):
            version, release = champion(task.name)
            kind = kind_of(task, release.kind.classes)
            feedback = recent_feedback(url, kind, version, release, now or time.time())
            table = examples(task)
            check_sources(release, table)
            new = training_table(kind, release, feedback, table)
            record = run_notebooks(task, new, parameters, tell)
            gone = ~table[task.unit].astype(str).isin(new[task.unit].astype(str))
            replaced = table.loc[gone, [task.unit]].astype(str)
            write_frame(record.folder / "files" / REPLACED, replaced)
            promoted, reason = promote_if_better(kind, version, release, record, feedback)
    except OSError as error:
        raise Refusal(
            f"{task.name} could not be retrained: {error.strerror or error}. The champion serves "
            f"on; make room, or see that {place_of(task.name)} can be written."
        ) from None
    return Retraining(promoted, reason, feedback.warnings)


def place_of(name: str) -> Path:
    """Where a retraining keeps its lock and its table: in var/ beside the reports."""
    return reports().parent / "var" / "retrain" / name


@contextmanager
def lock(name: str) -> Iterator[None]:
    """No other retraining of the task meanwhile; the lock ends with its process in any case."""
    path = place_of(f"{name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refusal(
                f"{name} is being retrained by another process: wait until it has ended."
            ) from None
        yield


def recent_feedback(url: str, kind: Kind, version: str, release: Release, now: float) -> Feedback:
    """What came of the champion's recent decisions that had time to show it.

    It can have learned from none of them.
    """
    until = (now - kind.task.target.delay) // HOUR * HOUR
    engine = open_decisions(url)
    sample = traffic_of(engine, version, until - RECENT, until).sample(MOST)
    engine.dispose()
    return feedback_of(kind, release, sample[sample["version"] == version])


def feedback_of(kind: Kind, release: Release, sample: pd.DataFrame) -> Feedback:
    """The decisions of a sample whose values tell what came, and where that is hidden."""
    known, unit = sample[sample["value"].notna()].reset_index(drop=True), kind.task.unit
    warning = kind.choose("", "outcomes come as money, which does not give a number away")
    if known.empty:
        warning = "no outcome of the champion's recent decisions has come"
    if warning:
        none = pd.DataFrame({unit: []})
        return Feedback(none, [], 0.0, [f"{warning}, so nothing is learned from them"])
    rows, actions = rows_as_given(release.contract, known), known["action"].to_numpy()
    classes = class_indices(kind, rows, known, all_apart=True)
    tells = ~np.isnan(classes)
    hiding = sorted(set(actions) - set(actions[tells]))
    labelled = rows[tells].assign(**{unit: known["unit"][tells]})
    labelled[kind.task.target.column] = kind.decode(classes[tells])
    return Feedback(
        labelled.drop_duplicates(unit, keep="last", ignore_index=True),
        hiding,
        float(hides(release, rows, hiding).mean()),
        warnings_of(hiding, tells, known["propensity"]),
    )


def warnings_of(hiding: list[str], tells: Array, propensity: "pd.Series[float]") -> list[str]:
    """What outcomes cannot tell because of what was decided."""
    if not hiding:
        return []
    warnings = [
        f"where {' or '.join(hiding)} was decided nobody sees what would have come: "
        f"{(~tells).mean():.0%} of the decisions tell nothing"
    ]
    if (propensity[tells].fillna(1) == 1).all():
        warnings.append(
            "no decision that tells was left to chance, so for rows like these nothing new is "
            "learned: give `ml-workflow serve` a share to --explore"
        )
    return warnings


def decisions_of(release: Release, rows: pd.DataFrame) -> Array:
    """What the release decides, shape (n,)."""
    return np.asarray(release.decide(rows, release.score(rows)))


def hides(release: Release, rows: pd.DataFrame, hiding: list[str]) -> Array:
    """For which rows the release takes an action that hides the outcome, shape (n,)."""
    if not hiding or rows.empty:
        return np.zeros(len(rows), dtype=bool)
    return np.isin(decisions_of(release, rows).astype(str), hiding)


def mixture(recent: pd.DataFrame, older: pd.DataFrame, rows: int) -> pd.DataFrame:
    """So many rows: the newest, and where these are too few older ones before them."""
    missing = min(len(older), max(rows - len(recent), 0))
    return pd.concat([older.sample(missing, random_state=0).sort_index(), recent.tail(rows)])


def training_table(
    kind: Kind, release: Release, feedback: Feedback, table: pd.DataFrame
) -> pd.DataFrame:
    """The table to learn from, mixed like today's decisions; at most as long as the sources'.

    Recent rows, and where these are not enough the sources'. Where the champion hides the outcome,
    what was left to chance is recent and older rows stand in for the rest. Which rows are known
    then depends on their inputs alone, so that the probability of an outcome given the inputs is
    learned without bias.
    """
    older = without_replaced(release, table)
    if feedback.rows.empty:
        return older
    unit, target, outcomes = kind.task.unit, kind.task.target.column, kind.outcomes(table)
    written = dict(zip(outcomes[::-1], table[target][::-1], strict=True))  # as the sources have it
    labels = feedback.rows[target].map(lambda outcome: written.get(outcome, outcome))
    recent = feedback.rows.assign(**{target: labels, unit: feedback.rows[unit].astype(str)})
    older = older.assign(**{unit: older[unit].astype(str)})
    older = older[~older[unit].isin(recent[unit])]
    hidden, hidden_older = (hides(release, rows, feedback.hiding) for rows in (recent, older))
    regions = [
        (1 - feedback.hidden, recent[~hidden], older[~hidden_older]),
        (feedback.hidden, recent[hidden], older[hidden_older]),
    ]
    enough = [len(new) / share for share, new, _ in regions if share and len(new) >= ENOUGH * share]
    size = min([len(table), *enough])
    parts = [mixture(new, old, round(size * share)) for share, new, old in regions]
    return pd.concat(parts, ignore_index=True).reindex(columns=table.columns)


def without_replaced(release: Release, table: pd.DataFrame) -> pd.DataFrame:
    """The sources' rows; where the champion came of a retraining, its table instead of some.

    Those that it replaced do not come back, since the world they tell of is gone.
    """
    unit, files = release.task.unit, reports() / release.card.run / "files"
    if not (files / REPLACED).exists():
        return table
    latest = pd.concat(read_frame(files / f"{part}.parquet") for part in ("dataset", "holdout"))
    gone = pd.concat([read_frame(files / REPLACED)[unit], latest[unit].astype(str)])
    new = table[~table[unit].astype(str).isin(gone)]
    return pd.concat([latest, new], ignore_index=True)


def check_sources(release: Release, table: pd.DataFrame) -> None:
    """Refuse sources in which a rule of the champion's contract is broken in most rows.

    A source broke, the world did not move.
    """
    faults = release.contract.faults(table, private=release.task.private)
    for fault in faults[faults["rows"] > len(table) / 2].to_dict("records"):
        raise Refusal(
            f"The sources of {release.task.name} break the champion's contract in most rows (the "
            f"rule: {fault['column']} {fault['rule']}): mend them, or run the task anew."
        )


def run_notebooks(task: Task, table: pd.DataFrame, parameters: Parameters, tell: Tell) -> Record:
    """The record of stages 00 to 04 on the table, by the same notebooks."""
    place = place_of(task.name)
    uri = str(write_frame(place / "table.parquet", table))
    source = task.sources[0].model_copy(update={"uri": uri, "query": None})
    changed = task.model_copy(update={"sources": [source]})
    path = write_task(place / f"{task.name}.yaml", changed)
    plan = Plan(str(path), parameters, "04_scale", "02_dataset", force=True, name=task.name)
    with kernels("auto") as pool:
        return run_stages(plan, pool, tell)


def promote_if_better(
    kind: Kind, serving: str, release: Release, record: Record, feedback: Feedback
) -> tuple[bool, str]:
    """Promote the challenger of a run, or say why not.

    Judged on recent rows of its holdout where there are enough and none is hidden. Whether a
    model is worth having at all was asked of the first one.
    """
    task, unit, files = kind.task, kind.task.unit, record.folder / "files"
    for stage in record.stages[:3]:
        if not stage.go:
            reason = f"the new table stops in {stage.name}: {stage.answer}"
            return False, f"{serving} serves on, since {reason}"
    number = next(version.number for version in versions(task.name) if version.run == record.run)
    tests = read_json(files / "ledger.json")["behaviour"]
    if fails := "; ".join(test for test, holds in tests.items() if not holds):
        return False, f"{serving} serves on, since version {number} fails: {fails}."
    holdout = read_frame(files / "holdout.parquet")
    rows, words = holdout[holdout[unit].astype(str).isin(feedback.rows[unit].astype(str))], "recent"
    if feedback.hidden or len(rows) < FEWEST:
        rows, words = holdout, "holdout"
    challenger = registered(task.name, number)
    gains = earnings(kind, challenger, rows) - earnings(kind, release, rows)
    surely, (low, estimate, high) = better(gains, task.retrain.margin)
    found = (
        f"On {len(rows):,} {words} rows version {number} earns {estimate:+,.4g} "
        f"{task.value.currency} a decision against {serving} ({low:+,.4g} … {high:+,.4g}, "
        f"margin {task.retrain.margin:g})"
    )
    if not surely:
        return False, (
            f"{found}: that is not surely better, so it stays challenger and {serving} serves on."
        )
    if aliases(task.name).get("champion") != serving.rpartition("/")[2]:
        return (
            False,
            f"{found}, but another version was made champion meanwhile: it stays challenger.",
        )
    promote(task.name, number)
    return True, f"{found}: it serves now."


def earnings(kind: Kind, release: Release, rows: pd.DataFrame) -> Array:
    """What each row earns when the release decides, in the currency, shape (n,)."""
    return kind.value(rows, decisions_of(release, rows), kind.outcomes(rows))


def better(gains: Array, margin: float) -> tuple[bool, Interval]:
    """Whether challenger less champion a row, shape (n,), surely exceeds the margin.

    By the lower end of the 95 % bootstrap interval; and the interval.
    """
    interval = interval_of_mean(gains)
    return interval.lower > margin, interval
