"""A task drafted from a table guesses as a person would, and says why."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from ml_workflow.draft.guesses import as_yaml, guess, name_for
from ml_workflow.errors import Refusal
from ml_workflow.task.file import as_task

CREDIT = ("data/credit.csv.gz", "default_next_month")


def test_each_kind_of_target_is_told_from_its_values() -> None:
    tables = [CREDIT, ("data/bikes.csv.gz", "bikers"), ("data/penguins.csv.gz", "species")]
    credit, bikes, penguins = (guess(uri, target) for uri, target in tables)
    kinds = [guesses["kind"].value for guesses in (credit, bikes, penguins)]
    assert kinds == ["binary", "regression", "multiclass"]
    assert credit["positive"].value == 1 and credit["unit"].value == "customer_id"
    assert bikes["split"].value == {"by": "time", "column": "hour_start"}
    assert penguins["unit"].value == "row"
    assert all(one.why for one in credit.values())


def test_the_drafted_file_is_a_task() -> None:
    guesses = guess(*CREDIT)
    task = as_task(yaml.safe_load(as_yaml("credit", *CREDIT, None, guesses)), "credit.yaml")
    assert task.target.kind == "binary" and not task.has_values
    text = as_yaml("visits", "visits.csv", "came back?", None, guesses)
    assert "question: What is came back?\n" in text


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("\ufeffa;b;t\n1,5;ä;1\n2,5;ö;0\n", "utf-8"),
        ("a;b;t\n1;ä;1\n2;ö;0\n", "latin-1"),
        ('a b,π,t\n"x, y",1,0\nz,2,1\n', "utf-8"),
    ],
)
def test_awkward_files_are_read(text: str, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(text.encode(encoding))
    assert guess(str(tmp_path / "table.csv"), "t")["kind"].value == "binary"


def test_a_target_of_many_texts_is_refused(tmp_path: Path) -> None:
    rows = pd.DataFrame({"a": range(60), "t": [f"text {i}" for i in range(60)]})
    rows.to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(Refusal, match="60 different texts"):
        guess(str(tmp_path / "table.csv"), "t")


def test_columns_that_teach_nothing_are_left_out_with_the_reason(tmp_path: Path) -> None:
    numbers = range(60)
    columns = {"id": numbers, "order_id": numbers, "one": 1, "none": None, "t": [0, 1] * 30}
    pd.DataFrame(columns).to_csv(tmp_path / "table.csv", index=False)
    guesses = guess(str(tmp_path / "table.csv"), "t")
    assert guesses["unit"].value == "id"
    assert guesses["exclude"].value == ["order_id", "one", "none"]
    assert guesses["exclude"].why == "order_id is a key; one is constant; none is empty"


def test_a_name_is_made_from_the_table() -> None:
    assert name_for("data/my customers (new).csv.gz") == "my-customers-new"
