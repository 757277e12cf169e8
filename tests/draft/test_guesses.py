"""A task drafted from a table guesses as a person would, and says why."""

from pathlib import Path

import pandas as pd
import pytest

from ml_workflow.draft.draft import as_yaml, draft, name_for
from ml_workflow.errors import Refusal
from ml_workflow.task.file import as_task
from tests.conftest import surroundings, workflow


def test_each_kind_of_target_is_told_from_its_values() -> None:
    credit, bikes, penguins = (
        draft("data/credit.csv.gz", "default_next_month"),
        draft("data/bikes.csv.gz", "bikers"),
        draft("data/penguins.csv.gz", "species"),
    )
    assert [guess["kind"].value for guess in (credit, bikes, penguins)] == [
        "binary",
        "regression",
        "multiclass",
    ]
    assert credit["positive"].value == 1 and credit["unit"].value == "customer_id"
    assert bikes["split"].value == {"by": "time", "column": "hour_start"}
    assert penguins["unit"].value == "row"
    assert all(guess.why for guess in credit.values())


def test_the_drafted_file_is_a_task() -> None:
    import yaml

    guesses = draft("data/credit.csv.gz", "default_next_month")
    task = as_task(
        yaml.safe_load(
            as_yaml("credit", "data/credit.csv.gz", "default_next_month", None, guesses)
        ),
        "credit.yaml",
    )
    assert task.target.kind == "binary" and not task.has_values
    assert "question: What is came back?\n" in as_yaml(
        "visits", "visits.csv", "came back?", None, guesses
    )


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (["x"] * 60, "nothing to predict"),
        ([f"text {i}" for i in range(60)], "different texts"),
        ([None] * 60, "nothing to predict"),
    ],
)
def test_a_target_that_cannot_be_predicted_is_refused(
    column: list, said: str, tmp_path: Path
) -> None:
    pd.DataFrame({"a": range(60), "t": column}).to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(Refusal, match=said):
        draft(str(tmp_path / "table.csv"), "t")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("﻿a;b;t\n1,5;ä;1\n2,5;ö;0\n", "utf-8"),
        ("a;b;t\n1;ä;1\n2;ö;0\n", "latin-1"),
        ('a b,π,target\n"x, y",1,0\nz,2,1\n', "utf-8"),
    ],
)
def test_awkward_files_are_read(text: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes((text.replace("1;ä", "1;ä") * 1).encode(encoding))
    target = "target" if "target" in text else "t"
    assert draft(str(tmp_path / "table.csv"), target)["kind"].value == "binary"


def test_a_name_is_made_from_the_table() -> None:
    assert name_for("data/my customers (new).csv.gz") == "my-customers-new"


def test_a_column_that_adds_up_to_the_target_stops_the_run(tmp_path: Path) -> None:
    task = (
        (Path("tasks") / "bikes.yaml")
        .read_text()
        .replace("exclude: [casual, registered]", "exclude: []")
    )
    (tmp_path / "bikes.yaml").write_text(task)
    done = workflow(
        "run", str(tmp_path / "bikes.yaml"), "--until", "02_dataset", env=surroundings(tmp_path)
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "casual" in done.stdout and "registered" in done.stdout and "exclude" in done.stdout
