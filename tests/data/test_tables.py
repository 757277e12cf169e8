"""Tables are read from folders and databases; what they keep secret stays so."""

from pathlib import Path

import pytest

from ml_workflow.data.joins import examples
from ml_workflow.data.tables import read_table
from ml_workflow.errors import Refusal
from ml_workflow.store import files
from tests.conftest import PASSWORD
from tests.data.shop import PAYMENTS, SUMS, task_of


def test_a_new_file_in_a_folder_is_something_new_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "provenance", {})
    for count, name in enumerate(("a", "b"), 1):
        (tmp_path / f"{name}.csv").write_text("x,y\n1,2\n")
        assert len(read_table(str(tmp_path))) == count
        before, files.provenance[str(tmp_path)] = files.provenance[str(tmp_path)], ""
        assert before == files.digest(tmp_path)


def test_a_database_is_a_source_and_tells_no_secret(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PAYMENTS.to_sql("payments", url, index=False)
    monkeypatch.setenv("SHOP", PASSWORD)
    uri, query = url.replace(PASSWORD, "${SHOP}"), "SELECT * FROM payments WHERE amount < 100"
    shop = {"name": "payments", "uri": uri, "query": query, "aggregate": SUMS, "time": "paid"}
    task = task_of(tmp_path, shop, first={"time": "decided"})
    assert examples(task)["payments"].tolist() == [2, 1, 0, 0]
    assert PASSWORD not in str(files.provenance)
    with pytest.raises(Refusal, match=r"did not answer the query.*paymnts") as refused:
        read_table(uri, "SELECT * FROM paymnts")
    assert PASSWORD not in str(refused.value)
