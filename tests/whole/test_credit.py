"""The credit model reaches what the field reaches on a split that anybody can make again."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split

from tests.conftest import ROOT, surroundings, workflow


@pytest.mark.prove
def test_credit_reaches_its_scores_on_the_split_that_a_column_gives(tmp_path: Path) -> None:
    table = pd.read_csv(ROOT / "data" / "credit.csv.gz")
    outcome, table["part"] = table["default_next_month"], "train"
    rest, test = train_test_split(table.index, test_size=0.2, stratify=outcome, random_state=0)
    _, validation = train_test_split(rest, test_size=0.25, stratify=outcome[rest], random_state=0)
    table.loc[validation, "part"], table.loc[test, "part"] = "validation", "test"
    table.to_csv(tmp_path / "credit.csv", index=False)
    task = yaml.safe_load((ROOT / "tasks" / "credit.yaml").read_text())
    task |= {
        "split": {"by": "given", "column": "part"},
        "sources": [{"name": "customers", "uri": str(tmp_path / "credit.csv")}],
    }
    (tmp_path / "credit.yaml").write_text(yaml.safe_dump(task))
    env = surroundings(tmp_path)
    done = workflow("run", str(tmp_path / "credit.yaml"), "-p", "time_budget=120", env=env)
    assert done.returncode == 0, done
    scores = pd.read_parquet(tmp_path / "reports" / "latest" / "files" / "scores.parquet")
    poc, release, outcome = (scores[c] for c in ("poc_score", "release_score", "outcome"))
    assert len(scores) == 6000
    assert roc_auc_score(outcome, poc) >= 0.775
    assert roc_auc_score(outcome, release) >= 0.787 and log_loss(outcome, release) <= 0.4235
