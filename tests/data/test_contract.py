"""Every fault in one report; bad rows put aside, none lost; nothing private shown."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ml_workflow.data.contract import Contract
from ml_workflow.data.tables import read_table
from ml_workflow.task.file import read_task, task_path
from tests.conftest import called, surroundings

TASK = read_task(task_path("penguins"))
TABLE = "data/penguins.csv.gz"


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """The penguins with their row numbers."""
    table = read_table(TABLE)
    return table.assign(row=np.arange(len(table)))


@pytest.fixture(scope="module")
def contract(frame: pd.DataFrame) -> Contract:
    learned = Contract.learned(TASK, frame)
    assert Contract.from_json(learned.as_json()) == learned
    return learned


def test_every_fault_is_in_one_report(frame: pd.DataFrame, contract: Contract) -> None:
    assert contract.faults(frame, "row").empty
    broken = frame.assign(
        island=frame["island"].where(frame["row"] > 1, "Atlantis"),
        year=frame["year"].where(frame["row"] != 7).astype("Int64"),
        body_mass_g=frame["body_mass_g"].where(frame["row"] != 3, 4_000_000),
        row=frame["row"].replace(5, 4),
    )
    faults = contract.faults(broken.drop(columns="bill_depth_mm"), "row").set_index("column")
    assert faults["rows"].to_dict() == {
        "island": 2,
        "year": 1,
        "body_mass_g": 1,
        "row": 1,
        "bill_depth_mm": len(frame),
    }
    assert faults["for example"][["island", "body_mass_g"]].tolist() == ["0, 1", "3"]
    rules = faults["rule"][["bill_depth_mm", "year", "row"]].tolist()
    assert rules == ["is there", "is not missing", "does not repeat"]


def test_what_is_private_is_neither_in_faults_nor_in_the_contract(
    frame: pd.DataFrame, contract: Contract
) -> None:
    keyed = frame.assign(row=[f"secret-{n}" for n in frame["row"]], island="Atlantis")
    assert "secret" in contract.faults(keyed, "row").to_string()
    assert "secret" not in contract.faults(keyed, "row", ["row"]).to_string()
    task = TASK.model_copy(update={"private": ["island", "body_mass_g"]})
    learned = Contract.learned(task, frame).as_json()
    assert learned["island"] == {"type": "text", "nullable": False}
    assert set(learned["body_mass_g"]) == {"type", "nullable"}


@pytest.mark.parametrize("wrong", [0, 1, 7])
def test_bad_rows_are_put_aside_and_the_counts_add_up(
    frame: pd.DataFrame, contract: Contract, wrong: int
) -> None:
    texts = frame["body_mass_g"].map("{:g}".format, na_action="ignore").astype(object)
    texts[:wrong] = "4,5 kg"
    good, bad = contract.quarantine(frame.assign(body_mass_g=texts), "row")
    assert len(bad) == wrong and sorted([*good["row"], *bad["row"]]) == list(range(len(frame)))
    assert bad["reason"].str.contains("body_mass_g is number").all()
    assert contract.faults(good, "row").empty


def test_a_table_without_a_column_is_wholly_aside(frame: pd.DataFrame, contract: Contract) -> None:
    good, bad = contract.quarantine(frame.drop(columns="island"), "row")
    assert good.empty and (bad["reason"] == "island is there").all() and len(bad) == len(frame)


def test_the_command_refuses_or_puts_aside(
    tmp_path: Path, finished: Path, env: dict[str, str]
) -> None:
    table, new = read_table(TABLE), tmp_path / "new.csv"
    words, aside = ["check", "penguins", "--table", str(new)], tmp_path / "bad.csv"
    table.to_csv(new, index=False)
    fine = called(*words, env=env)
    assert (fine.returncode, fine.stderr) == (0, "")
    assert "344 of 344 rows keep the contract" in fine.stdout
    table.assign(island=["Atlantis"] * 5 + list(table["island"][5:])).to_csv(new, index=False)
    refused = called(*words, env=env)
    assert refused.returncode == 2 and "island" in refused.stdout
    assert "5 of 344 rows break the contract" in refused.stderr
    put = called(*words, "--quarantine", str(aside), env=env)
    assert put.returncode == 0 and "339 of 344 rows" in put.stdout
    assert pd.read_csv(aside)["reason"].str.contains("island").sum() == 5
    again = called(*words, "--quarantine", str(aside), env=env)
    assert again.returncode == 2 and "exists already" in again.stderr


def test_without_a_run_there_is_no_contract(tmp_path: Path) -> None:
    done = called("check", "penguins", "--table", TABLE, env=surroundings(tmp_path))
    assert done.returncode == 2 and "No run of penguins has made a contract" in done.stderr
