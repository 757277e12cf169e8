"""`ml-workflow new` makes a project that runs and passes its own tests, and takes later versions of the template."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml

from tests.conftest import ROOT, edit, surroundings, workflow

pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="needs the template's git history"
)
QUICK = ["tests/test_house.py", "tests/whole/test_notebooks.py", "tests/whole/test_project.py"]


def git(folder: Path, *words: str) -> str:
    """What git answers, or the test fails with what it says."""
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *words],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=a state")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A clone of the template as it stands in the working tree, committed."""
    place = tmp_path / "template"
    for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    git(place, "init", "--quiet")
    commit(place)
    return place


def table(kind: str, rows: int = 400) -> pd.DataFrame:
    """Customers with a target of each kind that two of the columns tell about."""
    made = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "customer_id": [f"c{i:04}" for i in range(rows)],
            "age": made.integers(18, 80, rows),
            "plan": made.choice(["basic", "family", "business"], rows),
            "calls": made.poisson(3, rows),
            "bill": made.gamma(4, 12, rows).round(2),
        }
    )
    signal = (
        frame["calls"] / 2
        + (frame["plan"] == "basic")
        - frame["bill"] / 60
        + made.normal(0, 0.6, rows)
    )
    targets = {
        "binary": (signal > signal.quantile(0.7)).map({True: "yes", False: "no"}),
        "multiclass": pd.qcut(signal, 3, labels=["stays", "wavers", "leaves"]).astype(str),
        "regression": (40 + 25 * signal).round(2),
    }
    return frame.assign(churned=targets[kind])


def made(template: Path, kind: str = "binary", name: str = "churn") -> Path:
    """A new project for such a table, made by the command line of the template."""
    table(kind).to_csv(template.parent / "customers.csv", index=False)
    done = workflow(
        "new",
        f"../{name}",
        "--name",
        name,
        "--data",
        "../customers.csv",
        "--target",
        "churned",
        env=surroundings(template.parent),
        cwd=template,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == "" and "kind: " in done.stdout
    return template.parent / name


def own_tests(project: Path) -> subprocess.CompletedProcess[str]:
    """The project's own tests by this Python, as its `make test` runs them."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", *QUICK],
        cwd=project,
        env=surroundings(project.parent),
        capture_output=True,
        text=True,
        timeout=500,
    )


def answers(project: Path) -> dict[str, str]:
    return dict(yaml.safe_load((project / ".copier-answers.yml").read_text()))


@pytest.mark.parametrize(
    "kind",
    [
        "binary",
        pytest.param("multiclass", marks=pytest.mark.prove),
        pytest.param("regression", marks=pytest.mark.prove),
    ],
)
def test_a_new_project_of_each_kind_runs_and_passes_its_own_tests(
    kind: str, template: Path
) -> None:
    project, env = made(template, kind), surroundings(template.parent)
    assert yaml.safe_load((project / "tasks" / "churn.yaml").read_text())["target"]["kind"] == kind
    done = workflow("run", env=env, cwd=project)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    tests = own_tests(project)
    assert tests.returncode == 0 and "skipped" not in tests.stdout, tests.stdout + tests.stderr


def test_a_new_project_has_its_own_name_and_nothing_of_the_examples(template: Path) -> None:
    project = made(template, name="churn-2")
    assert (
        git(project, "status", "--porcelain") == ""
        and len(git(project, "log", "--oneline").splitlines()) == 1
    )
    assert answers(project) | {"_commit": ""} == {
        "_commit": "",
        "_src_path": str(template),
        "name": "churn-2",
        "data": "data/customers.csv",
        "target": "churned",
    }
    assert (
        "lib_name = churn-2\n" in (project / "settings.ini").read_text()
        and "lib_path = ml_workflow\n" in (project / "settings.ini").read_text()
    )
    assert 'name = "churn-2"' in (project / "pyproject.toml").read_text()
    assert (project / "README.md").read_text().startswith("# churn-2\n")
    assert [path.name for path in (project / "tasks").iterdir()] == ["churn-2.yaml"]
    kept = git(project, "ls-files").split()
    assert (
        "data/.gitignore" in kept
        and "data/customers.csv" not in kept
        and (project / "data" / "customers.csv").exists()
    )
    assert not {
        "copier.yml",
        "CHANGELOG.md",
        "data/credit.csv.gz",
        "tests/whole/test_new.py",
    } & set(kept)
    assert workflow("check", env=surroundings(template.parent), cwd=project).stdout.startswith(
        "churn-2: What is churned?"
    )


def test_the_address_of_a_template_is_where_others_reach_it_and_without_credentials(
    template: Path,
) -> None:
    git(template, "remote", "add", "origin", "https://someone:secret@example.com/ml-workflow.git")
    git(template, "update-ref", "refs/remotes/origin/main", "HEAD")
    project = made(template)
    assert answers(project)["_src_path"] == "https://example.com/ml-workflow.git"
    assert "secret" not in git(project, "grep", "-c", "example.com")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["../taken", "--name", "churn", "--target", "churned"], "is not empty"),
        (["inside", "--name", "churn", "--target", "churned"], "lies within the template"),
        (["../new", "--name", "../churn", "--target", "churned"], "begins with a letter"),
        (["../new", "--name", "churn", "--target", "churn"], "Did you mean 'churned'?"),
        (
            ["../new", "--name", "churn", "--target", "churned", "--data", "../no.csv"],
            "does not exist",
        ),
        (["../taken/file/new", "--name", "churn", "--target", "churned"], "cannot be made"),
    ],
)
def test_what_cannot_be_made_is_refused_and_leaves_nothing(
    words: list[str], said: str, template: Path
) -> None:
    beside = template.parent
    table("binary").to_csv(beside / "customers.csv", index=False)
    (beside / "taken").mkdir()
    (beside / "taken" / "file").write_text("mine")
    env = surroundings(beside)
    before = sorted(
        path.relative_to(beside)
        for path in [*beside.iterdir(), *template.iterdir(), *(beside / "taken").iterdir()]
        if path.name != "ml_workflow"
    )
    done = workflow(
        "new",
        *(words if "--data" in words else [*words, "--data", "../customers.csv"]),
        env=env,
        cwd=template,
    )
    assert done.returncode == 2 and said in done.stderr and len(done.stderr.splitlines()) == 1, (
        done.stdout + done.stderr
    )
    assert before == sorted(
        path.relative_to(beside)
        for path in [*beside.iterdir(), *template.iterdir(), *(beside / "taken").iterdir()]
        if path.name != "ml_workflow"
    )


def edited(project: Path) -> dict[str, str]:
    """Make a user's edits everywhere an update might reach, and give the files that an update must not touch."""
    place = project / "nbs" / "02_dataset.ipynb"
    notebook = nbformat.read(place, as_version=4)
    notebook.cells.append(
        nbformat.v4.new_code_cell(
            '#| export\ndef calls_of_age(frame: pd.DataFrame) -> pd.DataFrame:\n    "Calls for each year of age."\n    return frame.assign(calls_of_age=frame["calls"] / frame["age"])'
        )
    )
    nbformat.write(notebook, place)
    for command in ("clean", "export"):
        subprocess.run(
            [Path(sys.executable).with_name(f"nbdev-{command}")],
            cwd=project,
            check=True,
            capture_output=True,
        )
    with (project / "tasks" / "churn.yaml").open("a") as task:
        task.write("features: calls_of_age\n")
    edit(project / "settings.ini", "    xgboost-cpu\n", "    xgboost-cpu\n    pyyaml\n")
    edit(project / "ml_workflow" / "__init__.py", "0.1.0", "0.7.0")
    (project / "ml_workflow" / "statistics" / "ours.py").write_text('"""Our own."""\n')
    (project / "README.md").write_text("# Ours\n")
    commit(project)
    own = [
        *project.glob("nbs/*.ipynb"),
        *project.glob("ml_workflow/*.py"),
        *project.glob("tasks/*"),
        *project.glob("data/*"),
        project / "README.md",
        project / "ml_workflow/statistics/ours.py",
    ]
    return {
        str(path.relative_to(project)): path.read_text() for path in own if path.name != "errors.py"
    }


def improved(template: Path) -> None:
    """A later version of the template: mechanism, tooling, requirements, notebooks, its version, and a new room."""
    with (template / "ml_workflow" / "statistics" / "checks.py").open("a") as file:
        file.write("\n\nLATER = True\n")
    (template / "ml_workflow" / "statistics" / "later.py").write_text('"""A later one."""\n')
    edit(template / "settings.ini", "    alembic\n", "    alembic\n    numpy\n")
    edit(template / "ml_workflow" / "__init__.py", "0.1.0", "0.2.0")
    for name in ("00_define", "02_dataset"):
        place = template / "nbs" / f"{name}.ipynb"
        notebook = nbformat.read(place, as_version=4)
        notebook.cells[-1].source += " Later."
        nbformat.write(notebook, place)
    commit(template)


@pytest.mark.prove
@pytest.mark.parametrize("and_tested", [False, True], ids=["files", "and_tested"])
def test_an_update_over_edits_ends_without_conflict_and_leaves_them(
    and_tested: bool, template: Path
) -> None:
    if not and_tested:
        settings = (template / "copier.yml").read_text()
        (template / "copier.yml").write_text(settings[: settings.index("_migrations:")])
        commit(template)
    project = made(template)
    before = edited(project)
    improved(template)
    done = subprocess.run(
        [sys.executable, "-m", "copier", "update", "--trust", "--defaults"],
        cwd=project,
        env=surroundings(template.parent),
        capture_output=True,
        text=True,
        timeout=500,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert (
        not git(project, "diff", "--name-only", "--diff-filter=U")
        and "conflict" not in said.lower()
    ), said
    assert before == {name: (project / name).read_text() for name in before}
    settings = (project / "settings.ini").read_text()
    assert (
        "    alembic\n    numpy\n" in settings
        and "    pyyaml\n" in settings
        and "lib_name = churn\n" in settings
    )
    assert (
        "LATER = True" in (project / "ml_workflow/statistics/checks.py").read_text()
        and (project / "ml_workflow/statistics/later.py").exists()
    )
    assert answers(project)["_commit"] in git(template, "describe", "--always", "--tags")
    if and_tested:
        assert (
            " passed" in said
            and "failed" not in said
            and "calls_of_age" in (project / "ml_workflow/dataset.py").read_text()
        )


@pytest.mark.prove
def test_an_update_that_the_notebooks_no_longer_fit_says_so(template: Path) -> None:
    project = made(template)
    edit(template / "ml_workflow/pipeline/leaks.py", "def numbering(", "def numbering_renamed(")
    commit(template)
    done = subprocess.run(
        [sys.executable, "-m", "copier", "update", "--trust", "--defaults"],
        cwd=project,
        env=surroundings(template.parent),
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode != 0 and "cannot import name 'numbering'" in done.stdout + done.stderr
