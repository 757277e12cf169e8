"""Is a task complete, and do its sources answer? Asked before anything is run."""

import ast
from pathlib import Path

import pandas as pd

from ..data.joins import examples
from ..data.split import check_holdout
from ..data.tables import read_table
from ..decision.kinds import Kind, kind_of
from ..decision.process import current_process
from ..errors import Refusal, nearest
from ..store.files import package, read_json, root, write_atomically
from ..store.run import reports
from ..task.definition import Task
from ..task.file import read_task, task_path


def check_task(name: str) -> tuple[Task, dict[str, int]]:
    """The task and its counts of rows, or a Refusal that says what is wrong with it."""
    task = read_task(task_path(name))
    frame = examples(task)
    kind = kind_of(task, frame[task.target.column])
    outcomes = kind.check(frame)
    held = check_holdout(kind, frame)
    check_features(task)
    check_matrix(kind)
    process, few = current_process(kind, frame), frame.head(1000)
    scores = process.score(few)
    kind.expected_value(few, scores)
    kind.value(few, process.decide(few, scores), outcomes[: len(few)])
    counts = {"examples": len(frame), "holdout": int(held.sum())}
    return task, counts | {"left out": frame.attrs.get("no_target", 0)}


def check_features(task: Task) -> None:
    """Refuse a task whose feature function is not exported from 02_dataset."""
    if task.features:
        tree = ast.parse((root() / package() / "dataset.py").read_text(encoding="utf-8"))
        known = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        if task.features not in known:
            raise Refusal(
                f"features is {task.features!r}, but 02_dataset exports no such function."
                f"{nearest(task.features, known)}"
            )


def check_matrix(kind: Kind) -> None:
    """Refuse a matrix with a value for an outcome that the data does not hold."""
    for decision, cells in (kind.task.value.matrix or {}).items():
        for outcome in sorted(set(cells) - set(kind.classes)):
            raise Refusal(
                f"value.matrix.{decision} names {outcome!r}, which {kind.task.target.column!r} "
                f"does not hold.{nearest(outcome, kind.classes)}"
            )


def check_table(
    name: str, uri: str, query: str | None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """A new table held against the contract of the task's newest run.

    Its faults, the rows that keep the contract, and the others.
    """
    # here: pandera takes its time, for which a run need not wait
    from ..data.contract import Contract

    files = files_with_contract(name)
    task = read_task(files / "task.yaml")
    contract = Contract.from_json(read_json(files / "contract.json"))
    frame = read_table(uri, query)
    return contract.faults(frame, task.unit, task.private), *contract.quarantine(frame, task.unit)


def files_with_contract(name: str) -> Path:
    """The files of the newest run of a task that made a contract."""
    task = read_task(task_path(name))
    contracts = [
        path
        for path in reports().glob(f"{task.name}-*/files/contract.json")
        if not path.parents[1].is_symlink()
    ]
    if not contracts:
        raise Refusal(
            f"No run of {task.name} has made a contract yet: "
            f"`ml-workflow run {name} --until 02_dataset` makes one."
        )
    return max(contracts, key=lambda path: path.parents[1].name).parent


def put_aside(path: Path, bad: pd.DataFrame) -> Path:
    """Write quarantined rows with their reasons, as Parquet or CSV by the file's name.

    An older file is not overwritten.
    """
    if path.exists():
        raise Refusal(
            f"{path} exists already: rows in quarantine are not overwritten; give another name."
        )
    write = bad.to_parquet if path.suffix == ".parquet" else bad.to_csv
    return write_atomically(path, lambda place: write(place, index=False))
