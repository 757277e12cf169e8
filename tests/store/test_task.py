"""The task file: three kinds of target, faults that name their key, secrets that stay where they are."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ml_workflow.data.tables import read_table
from ml_workflow.errors import Refusal
from ml_workflow.store.address import without_secrets
from ml_workflow.store.files import provenance
from ml_workflow.task.file import as_task, read_task, task_path, write_task

ROOT = Path(__file__).parents[2]
BASE: dict[str, Any] = {
    "name": "t",
    "question": "?",
    "unit": "id",
    "sources": [{"name": "s", "uri": "data/s.csv"}],
}
BINARY = {**BASE, "target": {"column": "y", "kind": "binary", "positive": 1}}
MULTICLASS = {**BASE, "target": {"column": "y", "kind": "multiclass"}}
REGRESSION = {**BASE, "target": {"column": "y", "kind": "regression"}}
VALUES: dict[str, dict[str, Any]] = {
    "binary": {
        "act": {"positive": 1, "negative": -1},
        "leave": {"positive": "-0.1 * x", "negative": 0},
    },
    "multiclass": {"matrix": {"a": {"a": 1, "b": "-x"}, "b": {"a": 0, "b": 1}}},
    "regression": {"over": 2, "under": "0.5 * x"},
}
TASKS: dict[str, dict[str, Any]] = {
    "binary": BINARY,
    "multiclass": MULTICLASS,
    "regression": REGRESSION,
}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("kind", TASKS)
def test_each_kind_of_target_has_values_of_its_own(kind: str, tmp_path: Path) -> None:
    task = as_task({**TASKS[kind], "value": VALUES[kind]}, "t.yaml")
    assert task.has_values and task.target.kind == kind
    assert not as_task(TASKS[kind], "t.yaml").has_values
    assert read_task(write_task(tmp_path / "t.yaml", task)) == task


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("other", TASKS)
def test_values_of_another_kind_are_refused(kind: str, other: str) -> None:
    if kind != other:
        with pytest.raises(
            Refusal, match=rf"value\.({'|'.join(VALUES[other])}) does not fit a {kind} target"
        ):
            as_task({**TASKS[kind], "value": VALUES[other]}, "t.yaml")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"qestion": "?"}, "'qestion' is not known. Did you mean 'question'"),
        ({"zzz": 1}, "Known: name, question, unit"),
        (
            {"target": {"colum": "y", "kind": "multiclass"}},
            "'target.colum' is not known. Did you mean 'column'",
        ),
        (
            {"sources": [{"name": "s", "url": "x"}]},
            "'sources.0.url' is not known. Did you mean 'uri'",
        ),
        (
            {"value": {"act": {"positiv": 1, "negative": 0}}},
            "'value.act.positiv' is not known. Did you mean 'positive'",
        ),
        ({"current_process": {"describe": "d", "decides": "x"}}, "Did you mean 'decide'"),
        ({"target": {"column": "y"}}, "'target.kind' is missing"),
        ({"target": {"column": "y", "kind": "binary"}}, "target.positive is missing"),
        ({"target": {"column": "y", "kind": "rank"}}, "target.kind: "),
        ({"sources": []}, "sources: "),
        ({"current_process": {"describe": "d"}}, "current_process: give either `decide`"),
        (
            {"current_process": {"describe": "d", "decide": "x", "column": "y"}},
            "current_process: give either `decide`",
        ),
        ({"split": {"by": "time"}}, "needs `column:`"),
        ({"split": {"by": "weekday"}}, "split.by: "),
        ({"split": {"holdout": 0}}, "split.holdout: "),
        (
            {"value": {"act": {"positive": 1, "negative": 0}}},
            "value.act and value.leave belong together",
        ),
        ({"value": {"decisions_per_month": 0}}, "value.decisions_per_month: "),
        ({"value": {"build_cost": "much"}}, "value.build_cost: "),
        ({"success": {"horizon_months": 0}}, "success.horizon_months: "),
        ({"name": "../escape"}, "name: "),
        ({"research": [{"who": "a"}]}, "'research.0.approach' is missing"),
    ],
)
def test_a_fault_names_its_key(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Refusal) as refused:
        as_task({**BINARY, **changes}, "t.yaml")
    text = str(refused.value)
    assert text.startswith("t.yaml: ") and said in text and "\n" not in text


@pytest.mark.parametrize("missing", ["name", "question", "unit", "sources", "target"])
def test_what_a_task_needs_is_named(missing: str) -> None:
    with pytest.raises(Refusal, match=rf"'{missing}' is missing"):
        as_task({key: value for key, value in BINARY.items() if key != missing}, "t.yaml")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [", "line"),
        (b"\xff\xfe", "not text"),
        (b"- a", "mapping"),
        (b"", "mapping"),
        (b"a:\n\t- b", "line 2"),
    ],
)
def test_a_file_that_is_no_task_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_bytes(content)
    with pytest.raises(Refusal, match=said):
        read_task(tmp_path / "t.yaml")


def test_no_yaml_tag_runs_code(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(
        f"name: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']\n"
    )
    with pytest.raises(Refusal, match="not YAML"):
        read_task(tmp_path / "t.yaml")
    assert not (tmp_path / "made").exists()


def test_a_task_goes_by_name_or_path(tmp_path: Path) -> None:
    assert task_path("credit") == ROOT / "tasks" / "credit.yaml"
    assert (
        task_path("tasks/credit.yaml")
        == task_path(str(ROOT / "tasks" / "credit.yaml"))
        == ROOT / "tasks" / "credit.yaml"
    )
    with pytest.raises(Refusal, match="Did you mean 'credit'"):
        task_path("kredit")


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "tasks").glob("*.yaml")))
def test_our_tasks_are_complete(name: str) -> None:
    task = read_task(task_path(name))
    assert (
        task.name == name
        and task.has_values
        and task.current_process
        and task.value.because
        and task.research
    )
    if name == "credit":
        assert (
            len(task.research) >= 6
            and all(r.link and r.comparable for r in task.research)
            and task.private
        )


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database; its address, kept in the environment as SECRET_URL, its folder as SECRET_PLACE."""
    place = tmp_path / "hunter2-place"
    place.mkdir()
    with closing(sqlite3.connect(place / "d.db")) as connection:
        connection.executescript(
            "create table t (a int, b text); insert into t values (1, 'x'), (2, 'y')"
        )
    monkeypatch.setenv("SECRET_PLACE", str(place))
    monkeypatch.setenv("SECRET_URL", f"sqlite:///{place}/d.db")
    return "select * from t order by a"


@pytest.mark.parametrize("uri", ["${SECRET_URL}", "sqlite:///${SECRET_PLACE}/d.db"])
def test_a_secret_address_opens_the_database_and_is_noted_by_its_name(
    uri: str, database: str
) -> None:
    assert list(read_table(uri, database)["a"]) == [1, 2]
    assert any(uri in name for name in provenance) and not any(
        "hunter2" in f"{name}{sha}" for name, sha in provenance.items()
    )


@pytest.mark.parametrize(
    "uri",
    ["${SECRET_URL}", "sqlite:///${SECRET_PLACE}/d.db", "sqlite:///${SECRET_PLACE}/none/d.db"],
)
@pytest.mark.parametrize("query", ["select * from nowhere", "selct", None])
def test_a_refusal_does_not_give_the_secret_away(
    uri: str, query: str | None, database: str
) -> None:
    with pytest.raises(Refusal) as refused:
        read_table(uri, query)
    assert "hunter2" not in str(refused.value) and "SECRET_" in str(refused.value)


@pytest.mark.parametrize("url", ["hunter2://x", "://hunter2", "sqlite://u:hunter2@h:port/x"])
def test_a_secret_that_is_no_address_is_refused_and_not_shown(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_URL", url)
    with pytest.raises(Refusal, match="is no database URL") as refused:
        read_table("${SECRET_URL}", "select 1")
    assert "hunter2" not in str(refused.value) and "${SECRET_URL}" in str(refused.value)


def test_what_a_database_says_is_shown_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_URL", "x://hunter2")
    assert (
        without_secrets("no hunter3 at x://hunter2", "${SECRET_URL}", "hunter3")
        == "no *** at ${SECRET_URL}"
    )


def test_a_secret_that_is_not_set_is_named() -> None:
    with pytest.raises(Refusal, match="NOT_SET_HERE"):
        read_table("postgresql://${NOT_SET_HERE}@db/x", "select 1")
