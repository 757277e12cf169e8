"""JupyterLab as `make lab` opens it: the page to start from, a notebook run from top to bottom, and export on save."""

import json
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from traitlets.config import PyFileConfigLoader

from ml_workflow.store.run import STAGES
from tests.conftest import ROOT, copy_of_the_project, edit, record


def rows() -> list[list[str]]:
    """Notebook, takes and gives of each row of the page to start from."""
    lines = [
        line
        for line in (ROOT / "nbs" / "README.md").read_text(encoding="utf-8").splitlines()
        if re.match(r"\| \d", line)
    ]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def files(text: str) -> list[str]:
    return re.findall(r"`([a-z_]+(?:\.[a-z]+|/))`", text)


def test_the_launcher_and_the_notebooks_say_what_a_stage_really_takes_and_gives(
    finished: Path,
) -> None:
    assert [row[1] for row in rows()] == [f"[{stage}]({stage}.ipynb)" for stage in STAGES]
    for stage, row in zip(record(finished)["stages"], rows(), strict=True):
        assert {name for name in files(row[3]) if name != "tasks/"} <= set(
            stage["inputs"]["files"]
        ), row
        assert files(row[4]) and all(
            (finished / "files" / name).exists() for name in files(row[4])
        ), row
        first = nbformat.read(ROOT / "nbs" / f"{stage['name']}.ipynb", as_version=4).cells[0].source
        assert f"**{stage['name']}**" in first and f"**Stage {row[0]} of 6.**" in first
        takes, gives = first.partition("*Takes*")[2].split("*gives*")
        assert (files(takes), files(gives)) == (files(row[3]), files(row[4]))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with the lab's settings, to be edited."""
    shutil.copytree(
        ROOT / "lab", tmp_path / "project" / "lab", ignore=shutil.ignore_patterns("__pycache__")
    )
    return copy_of_the_project(tmp_path / "project")


@pytest.fixture
def save(project: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """What the lab's server does after it has saved a file."""
    hook = (
        PyFileConfigLoader("jupyter_server_config.py", str(project / "lab"))
        .load_config()
        .FileContentsManager.post_save_hook
    )
    monkeypatch.chdir(project)
    return lambda path: hook(
        {"type": "notebook"}, str(path), SimpleNamespace(log=logging.getLogger("lab"))
    )


def test_saving_a_notebook_exports_it_and_leaves_the_notebook_and_the_other_modules(
    project: Path, save: Callable[[Path], None]
) -> None:
    notebook = project / "nbs" / "03_poc.ipynb"
    edit(
        notebook,
        '"#| default_exp poc"',
        '"#| default_exp poc"\n   ]\n  },\n  {\n   "cell_type": "code",\n   "execution_count": 7,\n   "id": "aaaa1111",\n   "metadata": {},\n   "outputs": [],\n   "source": [\n    "#| export\\n",\n    "LATER = 1"',
    )
    kept, others = (
        notebook.read_bytes(),
        {
            path: path.read_bytes()
            for path in (project / "ml_workflow").glob("*.py")
            if path.name not in ("poc.py", "_modidx.py")
        },
    )
    save(notebook)
    assert "LATER = 1" in (project / "ml_workflow" / "poc.py").read_text()
    assert notebook.read_bytes() == kept and others == {path: path.read_bytes() for path in others}


def test_saving_what_is_no_python_yet_leaves_the_module_and_says_so(
    project: Path, save: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    notebook, module = project / "nbs" / "03_poc.ipynb", project / "ml_workflow" / "poc.py"
    before = module.read_bytes()
    edit(notebook, '"import time\\n"', '"import time as\\n"')
    save(notebook)
    assert (
        module.read_bytes() == before and "03_poc.ipynb is saved, but not exported" in caplog.text
    )


def test_a_notebook_elsewhere_is_not_exported(project: Path, save: Callable[[Path], None]) -> None:
    before = {path: path.read_bytes() for path in (project / "ml_workflow").glob("*.py")}
    shutil.copy(project / "nbs" / "03_poc.ipynb", project / "mine.ipynb")
    edit(project / "mine.ipynb", '"#| default_exp poc"', '"#| default_exp mine"')
    save(project / "mine.ipynb")
    assert before == {path: path.read_bytes() for path in (project / "ml_workflow").glob("*.py")}


@pytest.fixture
def lab(project: Path, env: dict[str, str]) -> Iterator[str]:
    """The address of a JupyterLab on that copy, with settings of its own, as `make lab` starts it."""
    options = (
        next(line for line in (ROOT / "Makefile").read_text().splitlines() if "jupyter-lab" in line)
        .split("jupyter-lab")[1]
        .replace("$(ARGS)", "")
        .split()
    )
    state = {
        f"JUPYTER{name}": str(project.parent / name.lower())
        for name in ("_CONFIG_DIR", "_RUNTIME_DIR", "LAB_SETTINGS_DIR", "LAB_WORKSPACES_DIR")
    }
    words = [
        sys.executable,
        "-m",
        "jupyterlab",
        *options,
        "--no-browser",
        "--allow-root",
        "--ServerApp.port=0",
    ]
    server = subprocess.Popen(
        words,
        cwd=project,
        env={**env, **state, "JUPYTER_CONFIG_PATH": str(project / "lab")},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    try:
        yield next(
            found[0]
            for line in server.stderr
            if (found := re.search(r"http://(localhost|127\.0\.0\.1):\d+/\S+", line))
        )
    finally:
        server.terminate()
        server.communicate(timeout=60)


@pytest.mark.prove
def test_03_opens_from_the_launcher_runs_to_its_verdict_and_is_exported_when_saved(
    browser: Any, finished: Path, lab: str, project: Path
) -> None:
    with browser.new_page(viewport={"width": 1280, "height": 1000}) as page:
        page.set_default_timeout(240_000)
        page.goto(lab)
        links = page.locator(".jp-MarkdownViewer td a")
        links.first.wait_for()
        assert links.all_inner_texts() == list(STAGES)
        links.nth(3).click()
        notebook = page.locator(".jp-Notebook")
        notebook.get_by_role("heading", name="Proof of concept").wait_for()
        page.get_by_text(
            "Python 3 (ipykernel) | Idle"
        ).wait_for()  # cells that run before are dropped
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        notebook.locator(".jp-OutputArea-output").get_by_text("The best candidate").first.wait_for()
        module = project / "ml_workflow" / "poc.py"
        module.unlink()
        page.keyboard.press("Control+s")
        page.wait_for_function("() => !document.querySelector('.jp-mod-dirty')")
        for _ in range(100):
            page.wait_for_timeout(100 if not module.exists() else 0)
    cells = nbformat.read(project / "nbs" / "03_poc.ipynb", as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    assert "The best candidate" in json.dumps(outputs) and not [
        output for output in outputs if output.output_type == "error"
    ]
    assert module.read_bytes() == (ROOT / "ml_workflow" / "poc.py").read_bytes()
