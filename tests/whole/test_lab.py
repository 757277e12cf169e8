"""JupyterLab as `make lab` opens it: the page to start from, a notebook run, export on save."""

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
from tests.conftest import ROOT, copy_of_the_project, edit, record, wait_until


def files(text: str) -> list[str]:
    """The files that a text names in code."""
    return re.findall(r"`([a-z_]+(?:\.[a-z]+|/))`", text)


def test_the_launcher_and_the_notebooks_say_what_a_stage_really_takes_and_gives(
    finished: Path,
) -> None:
    page = (ROOT / "nbs" / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in page.splitlines() if re.match(r"\| \d", line)]
    assert [row[1].strip() for row in rows] == [f"[{stage}]({stage}.ipynb)" for stage in STAGES]
    for stage, (number, _, _, takes, gives) in zip(record(finished)["stages"], rows, strict=True):
        assert {*files(takes)} - {"tasks/"} <= set(stage["inputs"]["files"]), stage["name"]
        assert files(gives), stage["name"]
        assert all((finished / "files" / name).exists() for name in files(gives)), stage["name"]
        first = nbformat.read(ROOT / "nbs" / f"{stage['name']}.ipynb", as_version=4).cells[0].source
        assert f"**{stage['name']}**" in first and f"**Stage {number.strip()} of 6.**" in first
        said = first.partition("*Takes*")[2].split("*gives*")
        assert [files(part) for part in said] == [files(takes), files(gives)]


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


def modules(project: Path) -> dict[str, bytes]:
    """The modules that notebooks write, by name."""
    return {path.name: path.read_bytes() for path in (project / "ml_workflow").glob("[!_]*.py")}


def test_saving_a_notebook_exports_it_and_leaves_the_notebook_and_the_other_modules(
    project: Path, save: Callable[[Path], None]
) -> None:
    place = project / "nbs" / "03_poc.ipynb"
    notebook = nbformat.read(place, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("#| export\nLATER = 1", execution_count=7))
    nbformat.write(notebook, place)
    saved, before = place.read_bytes(), modules(project)
    save(place)
    after = modules(project)
    assert b"LATER = 1" in after.pop("poc.py") and before.pop("poc.py")
    assert (place.read_bytes(), after) == (saved, before)


def test_what_is_no_python_yet_and_a_notebook_elsewhere_are_saved_and_not_exported(
    project: Path, save: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    before = modules(project)
    notebook, elsewhere = project / "nbs" / "03_poc.ipynb", project / "mine.ipynb"
    shutil.copy(notebook, elsewhere)
    edit(elsewhere, "#| default_exp poc", "#| default_exp mine")
    edit(notebook, "#| default_exp poc", "#| export\\n)")
    save(notebook)
    save(elsewhere)
    assert modules(project) == before
    assert "03_poc.ipynb is saved, but not exported" in caplog.text


@pytest.fixture
def lab(project: Path, env: dict[str, str]) -> Iterator[str]:
    """The address of a JupyterLab on that copy, as `make lab` starts it."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    options = re.findall(r"jupyter-lab (.*) \$\(ARGS\)", makefile)[0].split()
    own = ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR")
    state = {name: str(project.parent / name) for name in (*own, "JUPYTERLAB_WORKSPACES_DIR")}
    words = [sys.executable, "-m", "jupyterlab", *options, "--no-browser", "--allow-root"]
    server = subprocess.Popen(
        [*words, "--ServerApp.port=0"],
        cwd=project,
        env={**env, **state, "JUPYTER_CONFIG_PATH": str(project / "lab")},
        stderr=subprocess.PIPE,
        text=True,
    )
    addresses = (re.search(r"http://(localhost|127\.0\.0\.1):\d+/\S+", s) for s in server.stderr)
    try:
        yield next(address[0] for address in addresses if address)
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
        # Cells that run before are dropped.
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        notebook.locator(".jp-OutputArea-output").get_by_text("The best candidate").first.wait_for()
        module = project / "ml_workflow" / "poc.py"
        module.unlink()
        page.keyboard.press("Control+s")
        page.wait_for_function("() => !document.querySelector('.jp-mod-dirty')")
        assert wait_until(module.exists)
    saved = nbformat.read(project / "nbs" / "03_poc.ipynb", as_version=4)
    outputs = [output for cell in saved.cells for output in cell.get("outputs", [])]
    assert "The best candidate" in json.dumps(outputs)
    assert "error" not in {output.output_type for output in outputs}
    assert module.read_bytes() == (ROOT / "ml_workflow" / "poc.py").read_bytes()
