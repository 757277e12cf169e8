"""Retraining that cannot make things worse: the champion serves on until a challenger surely earns more on rows neither has seen."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..data.contract import faults
from ..data.joins import examples, sources
from ..decision.target import outcome
from ..decision.value import payoffs, value
from ..errors import Refusal
from ..experiments.plan import known_after
from ..model.registry import aliases, champion, promote, registered, versions
from ..model.release import Release
from ..run.chain import Plan, Tell
from ..run.chain import run as chain
from ..run.kernels import kernels
from ..serve.score import as_promised
from ..statistics.bootstrap import interval_of_mean
from ..store.database import open as opened
from ..store.files import read_frame, read_json, write_frame
from ..store.run import reports
from ..task.file import read_task, task_path, write_task
from ..task.definition import Source, Task
from .traffic import HOUR, sampled, told, traffic

RECENT = 90 * 86400  # seconds: decisions of this span tell of today's world
ENOUGH = 10_000  # recent rows beside which older ones are not needed, to learn from and to judge on
FEWEST = 200  # recent rows of the holdout from which a challenger is judged on these alone
MOST = 200_000  # decisions that are read
REPLACED = (
    "replaced.parquet"  # in a retraining's run: units of the sources that its table does without
)


class Matured(NamedTuple):
    """Decisions that tell what came: rows as given with the unit and the class (its number, in the target's column), newest last.

    With the actions that hide it, the share of today's decisions for which the champion takes one, and what must be said.
    """

    rows: pd.DataFrame
    hiding: list[str]
    hidden: float
    warnings: list[str]


class Retrained(NamedTuple):
    """Whether the challenger serves, why or why not in a sentence, and what the outcomes do not tell."""

    promoted: bool
    reason: str
    warnings: list[str]


def retrain(
    url: str, name: str, parameters: dict[str, dict[str, Any]], tell: Tell, now: float | None = None
) -> Retrained:
    """A challenger from the sources and matured outcomes by stages 00 to 04, made champion if it is surely better.

    Raises Refusal or Fault in a sentence; the champion is as it was then.
    """
    task = read_task(task_path(name))
    try:
        with alone(task.name):
            serving, release = champion(task.name)
            known = matured(url, task, serving, release, time.time() if now is None else now)
            table = examples(task, sources(task))
            check_columns(task, release, table)
            new = renewed(task, release, known, with_replaced(task, release, table), len(table))
            record = learned(task, new, parameters, tell)
            replaced = table.loc[
                ~table[task.unit].astype(str).isin(new[task.unit].astype(str)), [task.unit]
            ]
            write_frame(reports() / record["run"] / "files" / REPLACED, replaced.astype(str))
            recent = (
                set[str]()
                if known.rows.empty or known.hidden
                else set(known.rows[task.unit].astype(str))
            )
            promoted, reason = judged(task, serving, release, record, recent)
    except OSError as error:
        raise Refusal(
            f"{task.name} could not be retrained: {error.strerror or error}. The champion serves on; make room, or see that {place_of(task.name)} can be written."
        ) from None
    return Retrained(promoted, reason, known.warnings)


def place_of(name: str) -> Path:
    """Where a retraining keeps its lock and its table: in var/ beside the reports."""
    return reports().parent / "var" / "retrain" / name


@contextmanager
def alone(name: str) -> Iterator[None]:
    """No other retraining of the task meanwhile; the lock ends with its process, however that ends."""
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


def matured(url: str, task: Task, serving: str, release: Release, now: float) -> Matured:
    """What came of the champion's recent decisions that had time to show it, newest last; it can have learned from none of them."""
    until = ((now - known_after(task)) // HOUR) * HOUR
    engine = opened(url)
    try:
        seen = sampled(engine, task.name, traffic(engine, task.name, until - RECENT, until), MOST)
    finally:
        engine.dispose()
    return labelled(task, release, seen[seen["version"] == serving])


def labelled(task: Task, release: Release, seen: pd.DataFrame) -> Matured:
    """The decisions whose worth tells what came, and where it is hidden."""
    classes, known = release.card["classes"], seen[seen["worth"].notna()].reset_index(drop=True)
    if known.empty:
        return Matured(
            pd.DataFrame(),
            [],
            0.0,
            [
                "no outcome of the champion's recent decisions has come, so nothing is learned from them"
            ],
        )
    if not classes:
        return Matured(
            pd.DataFrame(),
            [],
            0.0,
            [
                "outcomes come as money, which does not give a number away, so nothing is learned from them"
            ],
        )
    rows, actions = (
        as_known(release.contract, pd.DataFrame(list(known["row"]))),
        known["action"].to_numpy(),
    )
    truth = told(task, rows, actions, known["worth"].to_numpy(), classes)
    telling = tells(task, rows, actions, classes) & ~np.isnan(truth)
    hiding = sorted(set(actions) - set(actions[telling]))
    frame = rows.assign(**{task.unit: known["unit"].to_numpy(), task.target.column: truth})[telling]
    hidden = float(hides(release, rows, hiding).mean())
    return Matured(
        frame.drop_duplicates(task.unit, keep="last", ignore_index=True),
        hiding,
        hidden,
        feedback(hiding, telling, known["propensity"]),
    )


def as_known(contract: dict[str, Any], rows: pd.DataFrame) -> pd.DataFrame:
    """Rows as given, typed as the contract says; columns that never came are missing."""
    return as_promised(
        contract, rows.reindex(columns=[*contract, *(c for c in rows if c not in contract)])
    )


def tells(task: Task, rows: pd.DataFrame, actions: np.ndarray, classes: list[str]) -> np.ndarray:
    """Whether what a decision earns differs for every outcome, shape (n,): only then is it known whatever came.

    Rows known for some outcomes alone would be chosen by what came of them.
    """
    names, money = payoffs(task, rows, classes)
    own = np.sort(
        money[np.arange(len(rows)), pd.Index(names).get_indexer(pd.Index(actions))], axis=1
    )
    return (np.diff(own, axis=1) > 1e-6 * np.abs(own).max(axis=1, keepdims=True)).all(axis=1)


def hides(release: Release, rows: pd.DataFrame, hiding: list[str]) -> np.ndarray:
    """For which rows the release takes an action that hides the outcome, shape (n,)."""
    return (
        np.isin(decided(release, rows).astype(str), hiding)
        if hiding and len(rows)
        else np.zeros(len(rows), dtype=bool)
    )


def decided(release: Release, rows: pd.DataFrame) -> np.ndarray:
    """What the release decides, shape (n,)."""
    return np.asarray(release.decide(rows, release.score(rows)))


def feedback(hiding: list[str], telling: np.ndarray, propensity: "pd.Series[float]") -> list[str]:
    """What outcomes cannot tell because of what was decided."""
    if not hiding:
        return []
    said = [
        f"where {' or '.join(hiding)} was decided nobody sees what would have come: {(~telling).mean():.0%} of the decisions tell nothing"
    ]
    if (propensity[telling].fillna(1) == 1).all():
        said.append(
            "no decision that tells was left to chance, so for rows like these nothing new is learned: give `ml-workflow serve` a share to --explore"
        )
    return said


class Region(NamedTuple):
    """Rows that are decided alike: their share of today's decisions, recent ones and older ones."""

    share: float
    recent: pd.DataFrame
    older: pd.DataFrame

    @property
    def enough(self) -> bool:
        """Whether the recent rows need none of the older ones beside them."""
        return len(self.recent) >= ENOUGH * self.share

    def mixed(self, rows: int) -> pd.DataFrame:
        """So many rows: the newest, and where these are too few older ones before them."""
        older = self.older.sample(
            min(len(self.older), max(rows - len(self.recent), 0)), random_state=0
        ).sort_index()
        return pd.concat([older, self.recent.tail(rows)])


def with_replaced(task: Task, release: Release, table: pd.DataFrame) -> pd.DataFrame:
    """The sources' rows; where the champion came of a retraining, its table instead of those that this replaced, since the world they tell of is gone."""
    files = reports() / release.card["run"] / "files"
    if not (files / REPLACED).exists():
        return table
    learned_from = pd.concat(
        [read_frame(files / f"{part}.parquet") for part in ("dataset", "holdout")]
    )
    gone = {*read_frame(files / REPLACED)[task.unit], *learned_from[task.unit].astype(str)}
    return pd.concat(
        [learned_from, table[~table[task.unit].astype(str).isin(gone)]], ignore_index=True
    )


def renewed(
    task: Task, release: Release, known: Matured, table: pd.DataFrame, most: int
) -> pd.DataFrame:
    """The table to learn from, mixed like today's decisions: recent rows, and older ones from `table` where these are not enough; at most so many.

    Where the champion hides the outcome, what was left to chance is recent and older rows stand in for the rest. Which rows
    are known then depends on their inputs alone, so that the chance of an outcome given the inputs is learned without bias.
    """
    if known.rows.empty:
        return table
    recent = known.rows.assign(
        **{
            task.target.column: lambda new: labels_of(
                task, table, new[task.target.column], release.card["classes"]
            )
        }
    )
    recent, table = (
        frame.assign(**{task.unit: frame[task.unit].astype(str)}) for frame in (recent, table)
    )
    regions = [
        region
        for region in divided(
            release, known, recent, table[~table[task.unit].isin(recent[task.unit])]
        )
        if region.share
    ]
    size = min([most, *(len(region.recent) / region.share for region in regions if region.enough)])
    return pd.concat(
        [region.mixed(round(size * region.share)) for region in regions], ignore_index=True
    ).reindex(columns=table.columns)


def divided(
    release: Release, known: Matured, recent: pd.DataFrame, older: pd.DataFrame
) -> list[Region]:
    """Where the champion shows what comes, and where it hides it."""
    new, old = (hides(release, rows, known.hiding) for rows in (recent, older))
    return [
        Region(1 - known.hidden, recent[~new], older[~old]),
        Region(known.hidden, recent[new], older[old]),
    ]


def check_columns(task: Task, release: Release, table: pd.DataFrame) -> None:
    """Refuse sources in which a rule of the champion's contract is broken in most rows: a source broke, the world did not move."""
    found = faults(release.contract, table, "", task.private)
    broken = found[found["rows"] > len(table) / 2]
    if len(broken):
        said = f"{broken['column'].iloc[0]} {broken['rule'].iloc[0]}"
        raise Refusal(
            f"The sources of {task.name} break the champion's contract in most rows (the rule: {said}): mend them, or run the task anew."
        )


def labels_of(
    task: Task, table: pd.DataFrame, codes: "pd.Series[float]", classes: list[str]
) -> list[Any]:
    """Class numbers as the target's column has them."""
    as_written = dict(zip(outcome(task, table)[::-1], table[task.target.column][::-1], strict=True))
    keys = [0, 1] if task.target.kind == "binary" else classes
    return [as_written.get(keys[int(code)], keys[int(code)]) for code in codes]


def learned(
    task: Task, table: pd.DataFrame, parameters: dict[str, dict[str, Any]], tell: Tell
) -> dict[str, Any]:
    """The record of stages 00 to 04 on the table, by the same notebooks."""
    place = place_of(task.name)
    source = Source(
        name=task.sources[0].name,
        uri=str(write_frame(place / "table.parquet", table)),
        time=task.sources[0].time,
    )
    path = write_task(place / f"{task.name}.yaml", task.model_copy(update={"sources": [source]}))
    with kernels("auto") as pool:
        return chain(
            Plan(str(path), parameters, "04_scale", "02_dataset", force=True, name=task.name),
            pool,
            tell,
        )


def judged(
    task: Task, serving: str, release: Release, record: dict[str, Any], recent: set[str]
) -> tuple[bool, str]:
    """Promote the challenger of a run, or say why not: whether a model is worth having at all was asked of the first one."""
    for stage in record["stages"][:3]:
        if not stage["verdict"]["go"]:
            return (
                False,
                f"{serving} serves on, since the new table stops in {stage['name']}: {stage['verdict']['answer']}",
            )
    number = next(version.number for version in versions(task.name) if version.run == record["run"])
    fails = [
        said
        for said, held in read_json(reports() / record["run"] / "files" / "ledger.json")[
            "behaviour"
        ].items()
        if not held
    ]
    if fails:
        return False, f"{serving} serves on, since version {number} fails: {'; '.join(fails)}."
    holdout = read_frame(reports() / record["run"] / "files" / "holdout.parquet")
    fresh = holdout[holdout[task.unit].astype(str).isin(recent)]
    rows, kind = (fresh, "recent") if len(fresh) >= FEWEST else (holdout, "holdout")
    surely, (low, estimate, high) = better(
        earned(task, registered(task.name, number), rows) - earned(task, release, rows),
        task.retrain.margin,
    )
    said = f"On {len(rows):,} {kind} rows version {number} earns {estimate:+,.4g} {task.value.currency} a decision against {serving} ({low:+,.4g} … {high:+,.4g}, margin {task.retrain.margin:g})"
    if not surely:
        return (
            False,
            f"{said}: that is not surely better, so it stays challenger and {serving} serves on.",
        )
    if aliases(task.name).get("champion") != serving.rpartition("/")[2]:
        return (
            False,
            f"{said}, but another version was made champion meanwhile: it stays challenger.",
        )
    promote(task.name, number)
    return True, f"{said}: it serves now."


def earned(task: Task, release: Release, rows: pd.DataFrame) -> np.ndarray:
    """What each row earns when the release decides, in the currency, shape (n,)."""
    return value(task, rows, decided(release, rows), outcome(task, rows))


def better(gains: np.ndarray, margin: float, seed: int = 0) -> tuple[bool, list[float]]:
    """Whether challenger less champion a row, shape (n,), surely exceeds the margin: lower end of the 95 % bootstrap interval; and the interval."""
    interval = interval_of_mean(gains, seed=seed)
    return interval.lower > margin, list(interval)
