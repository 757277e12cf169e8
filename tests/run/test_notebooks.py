"""Parameters are checked against the notebooks' own cells before any kernel starts."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ml_workflow.errors import Refusal
from ml_workflow.run.notebooks import (
    as_type,
    from_file,
    pairs,
    parameters,
    parameters_by_stage,
    stage_named,
)
from ml_workflow.store.run import STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_a_notebook_works_without_parameters(stage: str) -> None:
    declared = parameters(stage)
    assert declared["run"].default == "lab"
    assert ("task" in declared) == (stage == "00_define")
    for name, parameter in declared.items():
        assert as_type(name, parameter.default, parameter.type) == parameter.default


def test_a_name_goes_to_every_stage_that_has_it_and_an_address_to_one() -> None:
    given_values = {"04_scale.folds": "4", "folds": "3", "seed": 7, "sample": 9, "time_budget": 5}
    values = parameters_by_stage(given_values)
    assert values["01_research"]["seed"] == 7
    assert values["02_dataset"] == {"sample": 9, "seed": 7}
    assert values["03_poc"] == {"folds": 3, "seed": 7}
    assert values["04_scale"] == {"folds": 4, "seed": 7, "time_budget": 5}
    assert values["05_abtest"] == {"seed": 7}


@example(1e-5)
@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_a_value_or_its_text_takes_the_declared_type_or_is_refused(value: float) -> None:
    """A whole number is a number as well; a text stays as it is written."""
    own = type(value).__name__
    for given_value in (value, str(value).lower()):
        found = as_type("folds", given_value, own)
        assert found == value and type(found) is type(value)
        for other in {"int", "float", "bool"} - {own}:
            if (own, other) == ("int", "float"):
                assert type(as_type("folds", given_value, other)) is float
                continue
            with pytest.raises(Refusal, match=r"^The parameter folds takes .+, but .+ was given"):
                as_type("folds", given_value, other)
    assert as_type("folds", str(value), "str") == str(value)


@pytest.mark.parametrize(
    ("value", "wanted"), [("[", "int"), ("", "int"), ("[3]", "int"), (3, "str")]
)
def test_what_is_no_value_of_the_type_is_refused(value: object, wanted: str) -> None:
    with pytest.raises(Refusal, match=r"a whole number|a text"):
        as_type("folds", value, wanted)


def test_a_password_is_refused_since_parameters_are_recorded() -> None:
    with pytest.raises(Refusal, match=r"evidence holds a password.+\$\{NAME\}") as refused:
        parameters_by_stage({"evidence": "postgresql+psycopg://me:s3cret@host/decisions"})
    assert "s3cret" not in str(refused.value)
    for sound in (
        "postgresql://me:${PGPASSWORD}@host/decisions",
        "postgresql://me@host/d",
        "sqlite:///a:b@c.db",
    ):
        assert parameters_by_stage({"evidence": sound})["05_abtest"] == {"evidence": sound}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("poc.fold", "'folds'"),
        ("run", "No notebook"),
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


def test_pairs_keep_what_follows_the_first_sign() -> None:
    assert pairs(["a=1", " b = x=y ", "c="]) == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize(
    ("content", "values"),
    [
        ("folds: 3\n04_scale: {time_budget: 5}", {"folds": 3, "04_scale.time_budget": 5}),
        ("03_poc.folds: 3", {"03_poc.folds": 3}),
        ("# nothing yet", {}),
    ],
)
def test_a_file_names_parameters_flat_or_by_stage(
    content: str, values: dict[str, int], tmp_path: Path
) -> None:
    (tmp_path / "p.yaml").write_text(content)
    assert from_file(tmp_path / "p.yaml") == values


def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("- folds")
    with pytest.raises(Refusal, match="must be a mapping"):
        from_file(tmp_path / "p.yaml")
