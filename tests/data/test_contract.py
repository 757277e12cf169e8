"""The contract: every fault at once, by column, rule and unit; bad rows put aside, none lost, nothing private shown."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml_workflow.data.contract import contract_of, faults, quarantined
from ml_workflow.data.tables import read_table
from ml_workflow.task.file import read_task
from tests.conftest import called, surroundings

TASK = read_task(Path("tasks") / "penguins.yaml")


@pytest.fixture
def frame() -> pd.DataFrame:
    """The penguins with their row numbers."""
    table = read_table("data/penguins.csv.gz")
    return table.assign(row=np.arange(len(table)))


def test_every_fault_is_in_one_report(frame: pd.DataFrame) -> None:
    contract = contract_of(TASK, frame)
    assert faults(contract, frame, "row").empty
    broken = frame.assign(
        island=frame["island"].where(frame["row"] > 1, "Atlantis"),
        year=frame["year"].where(frame["row"] != 7).astype("Int64"),
    )
    broken.loc[3, "body_mass_g"] = 4_000_000
    broken.loc[5, "row"] = 4
    found = faults(contract, broken.drop(columns="bill_depth_mm"), "row").set_index("column")
    assert dict(found["rows"]) == {
        "island": 2,
        "year": 1,
        "body_mass_g": 1,
        "row": 1,
        "bill_depth_mm": len(frame),
    }
    assert (
        found.loc["island", "for example"] == "0, 1"
        and found.loc["body_mass_g", "for example"] == "3"
    )
    assert (
        found.loc["bill_depth_mm", "rule"] == "is there"
        and found.loc["year", "rule"] == "is not missing"
    )


def test_units_that_are_private_are_named_by_position(frame: pd.DataFrame) -> None:
    keyed = frame.assign(row=[f"secret-{n}" for n in frame["row"]])
    contract = contract_of(TASK, keyed)
    broken = keyed.assign(island="Atlantis")
    assert "secret" in faults(contract, broken, "row").to_string()
    assert "secret" not in faults(contract, broken, "row", ["row"]).to_string()


def test_values_of_private_columns_are_not_in_the_contract(frame: pd.DataFrame) -> None:
    private = TASK.model_copy(update={"private": ["island", "body_mass_g"]})
    assert contract_of(private, frame)["island"] == {"type": "text", "nullable": False}
    assert set(contract_of(private, frame)["body_mass_g"]) == {"type", "nullable"}


@pytest.mark.parametrize("wrong", [0, 1, 7])
def test_bad_rows_are_put_aside_and_the_counts_add_up(frame: pd.DataFrame, wrong: int) -> None:
    contract = contract_of(TASK, frame)
    texts = frame.assign(body_mass_g=[f"{m:g}" if m == m else None for m in frame["body_mass_g"]])
    texts.loc[: wrong - 1, "body_mass_g"] = "4,5 kg" if wrong else texts["body_mass_g"]
    good, bad = quarantined(contract, texts, "row")
    assert len(good) + len(bad) == len(frame) and len(bad) == wrong
    assert sorted([*good["row"], *bad["row"]]) == list(range(len(frame)))
    assert bad["reason"].str.contains("body_mass_g is number").all()
    assert faults(contract, good, "row").empty


def test_a_table_without_a_column_is_wholly_aside(frame: pd.DataFrame) -> None:
    good, bad = quarantined(contract_of(TASK, frame), frame.drop(columns="island"), "row")
    assert (
        good.empty
        and len(bad) == len(frame)
        and bad["reason"].str.contains("island is there").all()
    )


def test_the_command_refuses_or_puts_aside(
    tmp_path: Path, finished: Path, env: dict[str, str]
) -> None:
    table = read_table("data/penguins.csv.gz")
    table.to_csv(tmp_path / "new.csv", index=False)
    fine = called("check", "penguins", "--table", str(tmp_path / "new.csv"), env=env)
    assert fine.returncode == 0 and "344 of 344 rows keep the contract" in fine.stdout, (
        fine.stdout + fine.stderr
    )
    table.assign(island=["Atlantis"] * 5 + list(table["island"][5:])).to_csv(
        tmp_path / "new.csv", index=False
    )
    refused = called("check", "penguins", "--table", str(tmp_path / "new.csv"), env=env)
    assert (
        refused.returncode == 2
        and "island" in refused.stdout
        and "5 of 344 rows break the contract" in refused.stderr
    )
    assert "Traceback" not in refused.stderr
    put = called(
        "check",
        "penguins",
        "--table",
        str(tmp_path / "new.csv"),
        "--quarantine",
        str(tmp_path / "bad.csv"),
        env=env,
    )
    assert put.returncode == 0 and "339 of 344 rows" in put.stdout
    bad = pd.read_csv(tmp_path / "bad.csv")
    assert len(bad) == 5 and bad["reason"].str.contains("island").all()
    again = called(
        "check",
        "penguins",
        "--table",
        str(tmp_path / "new.csv"),
        "--quarantine",
        str(tmp_path / "bad.csv"),
        env=env,
    )
    assert again.returncode == 2 and "exists already" in again.stderr


def test_without_a_run_there_is_no_contract(tmp_path: Path) -> None:
    done = called(
        "check", "penguins", "--table", "data/penguins.csv.gz", env=surroundings(tmp_path)
    )
    assert done.returncode == 2 and "No run of penguins has made a contract" in done.stderr
