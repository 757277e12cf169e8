"""`ml-workflow new` makes a project that passes its own tests and takes later versions."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml

from tests.conftest import ROOT, called, edit, python, surroundings, workflow

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs git's history")
WORDS = ["--name", "churn", "--target", "churned", "--data", "../customers.csv"]


def git(folder: Path, *words: str) -> str:
    """What git answers, or the test fails with what it says."""
    known = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    done = subprocess.run([*known, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done
    return done.stdout


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=a state")


def process(folder: Path, *words: str) -> str:
    """What a module of this Python says, started in a project; it must end well."""
    done = python("-m", *words, env=surroundings(folder.parent), cwd=folder)
    assert done.returncode == 0, done
    return done.stdout + done.stderr


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A clone of the template as it stands in the working tree, with a table beside it."""
    place = tmp_path / "template"
    for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place / name)
    git(place, "init", "--quiet")
    commit(place)
    numbers = np.random.default_rng(0)
    calls, bill = numbers.poisson(3, 400), numbers.gamma(4, 12, 400).round(2)
    signal = calls / 2 - bill / 60 + numbers.normal(0, 0.6, 400)
    frame = pd.DataFrame({"customer_id": range(400), "calls": calls, "bill": bill})
    frame["churned"] = np.where(signal > np.quantile(signal, 0.7), "yes", "no")
    frame.to_csv(tmp_path / "customers.csv", index=False)
    return place


@pytest.fixture
def project(template: Path) -> Path:
    """A new project, made by the command line of the template."""
    done = called("new", "../churn", *WORDS, env=surroundings(template.parent), cwd=template)
    assert (done.returncode, done.stderr) == (0, ""), done
    return template.parent / "churn"


@pytest.mark.prove
def test_a_new_project_runs_and_passes_its_own_tests(project: Path) -> None:
    done = workflow("run", env=surroundings(project.parent), cwd=project)
    assert done.returncode in (0, 3), done
    assert "skipped" not in process(project, "pytest", "tests")


def test_types_are_checked_only_in_folders_that_a_new_project_has(project: Path) -> None:
    words = ["make", "--dry-run", "quick"]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True)
    by_make = next(line for line in done.stdout.splitlines() if "/mypy" in line).split()[1:]
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    folders = [*by_make, *settings["tool"]["mypy"]["files"]]
    assert folders and all((project / folder).is_dir() for folder in folders)


def test_a_new_project_has_its_own_name_and_nothing_of_the_examples(
    project: Path, template: Path
) -> None:
    assert git(project, "status", "--porcelain") == ""
    assert len(git(project, "log", "--oneline").splitlines()) == 1
    answers = yaml.safe_load((project / ".copier-answers.yml").read_text())
    assert answers.pop("_commit") and answers == {
        "_src_path": str(template),
        "name": "churn",
        "data": "data/customers.csv",
        "target": "churned",
    }
    assert "lib_name = churn\n" in (project / "settings.ini").read_text()
    assert 'name = "churn"' in (project / "pyproject.toml").read_text()
    assert (project / "README.md").read_text().startswith("# churn\n")
    assert [path.name for path in (project / "tasks").iterdir()] == ["churn.yaml"]
    files = set(git(project, "ls-files").split())
    tests = {"tests/test_house.py", "tests/whole/test_notebooks.py", "tests/whole/test_project.py"}
    left = {"copier.yml", "CHANGELOG.md", "data/credit.csv.gz", "tests/whole/test_new.py"}
    assert {"data/.gitignore", *tests} <= files and not {"data/customers.csv", *left} & files
    assert (project / "data" / "customers.csv").exists()
    checked = called("check", env=surroundings(project.parent), cwd=project)
    assert checked.stdout.startswith("churn: What is churned?")


def test_the_address_of_a_template_is_where_others_reach_it_and_without_credentials(
    template: Path, request: pytest.FixtureRequest
) -> None:
    git(template, "remote", "add", "origin", "https://someone:secret@example.com/ml-workflow.git")
    git(template, "update-ref", "refs/remotes/origin/main", "HEAD")
    project = request.getfixturevalue("project")
    answers = (project / ".copier-answers.yml").read_text()
    assert "_src_path: https://example.com/ml-workflow.git\n" in answers
    assert "secret" not in git(project, "grep", "-c", "example.com")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["../taken"], "is not empty"),
        (["inside"], "lies within the template"),
        (["../new", "--name", "../churn"], "begins with a letter"),
        (["../new", "--target", "churn"], "Did you mean 'churned'?"),
        (["../new", "--data", "../no.csv"], "does not exist"),
        (["../taken/file/new"], "cannot be made"),
    ],
)
def test_what_cannot_be_made_is_refused_and_leaves_nothing(
    words: list[str], reason: str, template: Path
) -> None:
    beside = template.parent
    (beside / "taken").mkdir()
    (beside / "taken" / "file").write_text("mine")
    env = surroundings(beside)

    def places() -> set[Path]:
        return {*beside.iterdir(), *(beside / "taken").iterdir(), *template.iterdir()}

    before = places()
    done = called("new", *WORDS, *words, env=env, cwd=template)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done
    assert reason in done.stderr and before == places()


@pytest.mark.prove
def test_an_update_over_edits_brings_mechanism_and_leaves_what_is_one_s_own(
    project: Path, template: Path
) -> None:
    for place, cell in ((project, "x = 1"), (template, "x = 2")):
        notebook = nbformat.read(place / "nbs" / "02_dataset.ipynb", as_version=4)
        notebook.cells.append(nbformat.v4.new_code_cell(f"#| export\n{cell}"))
        nbformat.write(notebook, place / "nbs" / "02_dataset.ipynb")
    edit(project / "settings.ini", "    xgboost-cpu\n", "    xgboost-cpu\n    pyyaml\n")
    edit(template / "settings.ini", "    alembic\n", "    alembic\n    numpy\n")
    with (template / "ml_workflow" / "statistics" / "checks.py").open("a") as file:
        file.write("\n\nLATER = True\n")
    (project / "README.md").write_text("# Ours\n")
    commit(project)
    commit(template)
    own = [project / "README.md", *project.glob("nbs/*.ipynb"), *project.glob("tasks/*")]
    before = [path.read_text() for path in own]
    said = process(project, "copier", "update", "--trust", "--defaults")
    assert "conflict" not in said.lower() and " passed" in said and "failed" not in said, said
    assert git(project, "diff", "--name-only", "--diff-filter=U") == ""
    assert before == [path.read_text() for path in own]
    settings = (project / "settings.ini").read_text()
    assert "    alembic\n    numpy\n" in settings and "    pyyaml\n" in settings
    assert "LATER = True" in (project / "ml_workflow" / "statistics" / "checks.py").read_text()
