"""Tables are read from files, folders and databases; what they keep secret stays so."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from ml_workflow.data.joins import examples
from ml_workflow.data.tables import read_csv, read_table
from ml_workflow.errors import Refusal
from ml_workflow.store import files
from tests.conftest import PASSWORD, called, copy_of_the_project, surroundings, workflow
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


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("a,a_1\n1,2\n", ["a", "a_1"]),
        ("a;b\n1,5;2\n", ["a", "b"]),
        ("größe,b\nä,2\n", ["größe", "b"]),
        ("a,,\n1,2,3\n", ["a", "column1", "column2"]),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_csv_is_read_as_somebody_wrote_it(
    content: str, columns: list[str], encoding: str, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text(content, encoding=encoding)
    assert list(read_csv(tmp_path / "t.csv")) == columns


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("a,b\n", "no rows below its first line"),
        ("a,a\n1,2\n", "more than one column named 'a'"),
        ("a\0b\n", "bytes that are no text"),
    ],
)
def test_a_file_that_is_no_table_is_refused(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(Refusal, match=f"t.csv.*{words}"):
        read_csv(tmp_path / "t.csv")


def shop_in(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """The URL of a database of this kind that holds the payments."""
    url = f"sqlite:///{folder}/shop.db"
    if kind == "postgresql":
        url = request.getfixturevalue("postgres")()
    engine = sa.create_engine(url)
    PAYMENTS.to_sql("payments", engine, index=False)
    engine.dispose()
    return url


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_database_is_a_source(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    shop = {
        "name": "payments",
        "uri": shop_in(kind, tmp_path, request),
        "query": "SELECT * FROM payments WHERE amount < 100",
        "aggregate": SUMS,
        "time": "paid",
    }
    first = {"time": "decided"}
    assert examples(task_of(tmp_path, shop, first=first))["payments"].tolist() == [2, 1, 0, 0]
    with pytest.raises(Refusal, match=r"did not answer the query.*paymnts"):
        examples(task_of(tmp_path, shop | {"query": "SELECT * FROM paymnts"}, first=first))


def test_the_password_of_a_database_stays_in_the_environment(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = shop_in("postgresql", tmp_path, request).replace(PASSWORD, "${SHOP_PASSWORD}")
    project = copy_of_the_project(tmp_path / "project")
    env = surroundings(tmp_path)
    rows = "SELECT p.*, amount > 15 AS large FROM payments p CROSS JOIN generate_series(1, 60)"
    words = ["run", url, "--query", rows, "--target", "large"]
    right, wrong = (env | {"SHOP_PASSWORD": PASSWORD + more} for more in ("", "!"))
    done = workflow(*words, "--force", "-p", "time_budget=0", env=right, cwd=project)
    refused = called(*words, env=wrong, cwd=project)
    assert done.returncode in (0, 2, 3) and refused.returncode == 2, done.stdout + done.stderr
    kept = [project / "tasks", *(tmp_path / name for name in ("reports", "mlruns", "mlflow.db"))]
    paths = [path for place in kept for path in [place, *place.rglob("*")] if path.is_file()]
    texts = [path.read_bytes().decode("utf-8", "replace") for path in paths]
    texts += [done.stdout, done.stderr, refused.stdout, refused.stderr]
    assert len(texts) > 10 and any("SHOP_PASSWORD" in text for text in texts)
    assert not any(PASSWORD in text for text in texts)
