"""Parameters are checked against the notebooks' own cells before any kernel starts."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_workflow.errors import Refusal
from ml_workflow.run.notebooks import (
    RESERVED,
    as_type,
    from_file,
    pairs,
    parameters,
    parameters_by_stage,
    stage_named,
)
from ml_workflow.store.run import STAGES


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("02_dataset", "sample"),
        ("03_poc", "folds"),
        ("04_scale", "time_budget"),
        *((s, "seed") for s in STAGES[1:]),
    ],
)
def test_the_parameters_that_everyone_may_count_on_are_there(stage: str, name: str) -> None:
    assert parameters(stage)[name].type == "int"


@pytest.mark.parametrize("stage", STAGES)
def test_a_notebook_works_without_parameters(stage: str) -> None:
    declared = parameters(stage)
    assert declared["run"].default == "lab"
    assert ("task" in declared) == (stage == "00_define")
    for name, parameter in declared.items():
        assert as_type(name, parameter.default, parameter.type) == parameter.default


def test_a_name_goes_to_every_stage_that_has_it_and_an_address_to_one() -> None:
    given = parameters_by_stage({"04_scale.folds": "4", "folds": "3", "seed": 7})
    assert given["03_poc"] == {"folds": 3, "seed": 7} and given["04_scale"] == {
        "folds": 4,
        "seed": 7,
    }
    assert "folds" not in given["02_dataset"] and given["05_abtest"] == {"seed": 7}


@pytest.mark.parametrize(
    ("value", "wanted", "result"),
    [
        ("3", "int", 3),
        ("0.5", "float", 0.5),
        ("2", "float", 2.0),
        ("true", "bool", True),
        ("no", "bool", False),
        ("007", "str", "007"),
        ("3", "str", "3"),
        (3, "int", 3),
        (0.5, "float", 0.5),
    ],
)
def test_a_value_takes_the_declared_type(value: object, wanted: str, result: object) -> None:
    found = as_type("name", value, wanted)
    assert found == result and type(found) is type(result)


@pytest.mark.parametrize(
    ("value", "wanted", "said"),
    [
        ("many", "int", "a whole number"),
        ("3.5", "int", "a whole number"),
        ("true", "int", "a whole number"),
        ("", "int", "a whole number"),
        ("[", "int", "a whole number"),
        ("[3]", "int", "a whole number"),
        ("half", "float", "a number"),
        ("yes", "float", "a number"),
        ("1", "bool", "true or false"),
        (3, "str", "a text"),
    ],
)
def test_a_value_of_another_type_is_refused(value: object, wanted: str, said: str) -> None:
    with pytest.raises(Refusal, match=rf"^The parameter folds takes {said}, but .+ was given\.$"):
        as_type("folds", value, wanted)


def test_a_password_is_refused_since_parameters_are_recorded() -> None:
    with pytest.raises(
        Refusal, match=r"^The parameter evidence holds a password.+\$\{NAME\}"
    ) as refused:
        parameters_by_stage({"evidence": "postgresql+psycopg://me:s3cret@host/decisions"})
    assert "s3cret" not in str(refused.value)
    for sound in (
        "postgresql://me:${PGPASSWORD}@host/decisions",
        "postgresql://me@host/d",
        "sqlite:///a:b@c.db",
        "data/decisions.csv",
    ):
        assert parameters_by_stage({"evidence": sound})["05_abtest"] == {"evidence": sound}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("fold", "'folds'"),
        ("time_buget", "'time_budget'"),
        ("03_poc.time_budget", "03_poc has no parameter 'time_budget'"),
        ("poc.fold", "'folds'"),
        ("run", "no"),
        ("task", "No notebook"),
        ("00_define.task", "00_define has no parameter"),
        ("06_more.folds", "no stage '06_more'"),
        ("", "No notebook"),
    ],
)
def test_a_name_that_no_notebook_has_is_refused(name: str, said: str) -> None:
    with pytest.raises(Refusal, match=said):
        parameters_by_stage({name: "3"})


@pytest.mark.parametrize("word", ["03_poc", "poc", "3", "03"])
def test_a_stage_goes_by_name_and_number(word: str) -> None:
    assert stage_named(word) == "03_poc"


@pytest.mark.parametrize(
    ("word", "said"), [("pok", "03_poc"), ("6", "00_define, 01_research"), ("", "The stages are")]
)
def test_a_stage_that_there_is_not_is_refused(word: str, said: str) -> None:
    with pytest.raises(Refusal, match=said):
        stage_named(word)


def test_pairs_keep_what_follows_the_first_sign() -> None:
    assert pairs(["a=1", " b = x=y ", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    with pytest.raises(Refusal, match="name=value"):
        pairs(["folds"])


@pytest.mark.parametrize(
    "content",
    [
        {"folds": 3, "04_scale": {"time_budget": 5}},
        {"03_poc.folds": 3, "04_scale": {"folds": 3, "time_budget": 5}},
    ],
)
def test_a_file_names_parameters_flat_or_by_stage(content: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(content))
    given = parameters_by_stage(from_file(tmp_path / "p.yaml"))
    assert given["03_poc"] == {"folds": 3} and given["04_scale"] == {"folds": 3, "time_budget": 5}


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("# nothing yet\n")
    assert from_file(tmp_path / "p.yaml") == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"folds: [", "is not YAML"),
        (b"- folds", "must be a mapping"),
        (b"\xff\xfe\x00", "is not YAML"),
        (None, "no parameter file"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(
    content: bytes | None, said: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "p.yaml").write_bytes(content)
    with pytest.raises(Refusal, match=said):
        from_file(tmp_path / "p.yaml")


def test_what_a_run_sets_itself_is_reserved() -> None:
    assert set(RESERVED) == {"run", "task"}
