"""The task file's model: three kinds of target, and faults that name their key."""

from typing import Any

import pytest

from ml_workflow.errors import Refusal
from ml_workflow.task.definition import Task
from ml_workflow.task.file import as_task

BASE = {
    "name": "t",
    "question": "?",
    "unit": "id",
    "sources": [{"name": "s", "uri": "data/s.csv"}],
    "target": {"column": "y", "kind": "binary", "positive": 1},
}
VALUES: dict[str, dict[str, Any]] = {
    "binary": {
        "act": {"positive": 1, "negative": -1},
        "leave": {"positive": "-0.1 * x", "negative": 0},
    },
    "multiclass": {"matrix": {"a": {"a": 1, "b": "-x"}, "b": {"a": 0, "b": 1}}},
    "regression": {"over": 2, "under": "0.5 * x"},
}


def task(**parts: Any) -> Task:
    """The task of a file in which some parts are other."""
    return as_task({**BASE, **parts}, "t.yaml")


def target(kind: str) -> dict[str, Any]:
    return {**BASE["target"], "kind": kind}  # type: ignore[dict-item]


@pytest.mark.parametrize("kind", VALUES)
def test_each_kind_of_target_has_values_of_its_own(kind: str) -> None:
    assert task(target=target(kind), value=VALUES[kind]).has_values
    assert not task(target=target(kind)).has_values
    for other in VALUES.keys() - {kind}:
        fault = rf"value\.({'|'.join(VALUES[other])}) does not fit a {kind} target"
        with pytest.raises(Refusal, match=fault):
            task(target=target(kind), value=VALUES[other])


SOURCE = BASE["sources"][0]  # type: ignore[index]
FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"zzz": 1}, "Known: name, question, unit"),
    ({"sources": [{"name": "s", "url": "x"}]}, "'sources.0.url' is not known. Did you mean 'uri'"),
    ({"target": {"column": "y", "kind": "binary"}}, "target.positive is missing"),
    ({"sources": [{**SOURCE, "available": "after decision"}]}, "must be available at decision"),
    ({"sources": [SOURCE, {**SOURCE, "time": "t"}]}, "the source s has a `time`, but sources.0"),
    (
        {"current_process": {"describe": "d", "decide": "x", "column": "y"}},
        "current_process: give either",
    ),
    ({"split": {"by": "time"}}, "needs `column:`"),
    ({"split": {"holdout": 0}}, "split.holdout: "),
    ({"value": {"act": VALUES["binary"]["act"]}}, "value.act and value.leave belong together"),
    ({"value": {"build_cost": "much"}}, "value.build_cost: "),
    ({"name": "../escape"}, "name: "),
    ({"research": [{"who": "a"}]}, "'research.0.approach' is missing"),
]


@pytest.mark.parametrize(("parts", "fault"), FAULTS)
def test_a_fault_names_its_key(parts: dict[str, Any], fault: str) -> None:
    with pytest.raises(Refusal) as refused:
        task(**parts)
    text = str(refused.value)
    assert text.startswith("t.yaml: ") and fault in text and "\n" not in text


def test_the_delay_of_outcomes_is_a_time() -> None:
    def delay(known_after: str) -> float:
        return task(target={**target("binary"), "known_after": known_after}).target.delay

    assert (delay("at once"), delay("30 days"), delay("1 hour")) == (0, 30 * 86400, 3600)
    with pytest.raises(Refusal, match="known_after is 'soon': write a time such as `30 days`"):
        delay("soon")


def test_a_model_sees_neither_the_outcome_nor_what_tells_of_it() -> None:
    process = {"describe": "d", "column": "clerk"}
    parts = {"exclude": ["x"], "current_process": process}
    whole = task(**parts, split={"by": "group", "column": "g"})
    assert whole.inputs_left_out == ["id", "y", "x", "g", "clerk"]
    assert task(split={"by": "time", "column": "id"}).inputs_left_out == ["y"]
