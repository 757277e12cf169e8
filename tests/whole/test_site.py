"""The site: built from a finished run without a warning, then crawled in a real browser."""

import importlib
import re
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import pytest
import typer

from ml_workflow.cli import app
from ml_workflow.errors import Refusal
from ml_workflow.task.definition import Task
from tests.conftest import ROOT, copy_of_the_project, python
from tests.whole.conftest import Opened, barriers

SHOWN = [
    "index",
    "generated/guide/03_poc",
    "generated/guide/02_dataset",
    "generated/reports/05_abtest",
    "generated/reference/task-file",
    "howto/data",
    "search",
]


IMAGES_OPEN = "images => images.every(i => i.alt && (i.naturalWidth || i.loading == 'lazy'))"


@pytest.fixture(scope="session")
def site(finished: Path, env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of a finished run, built in a copy of the project as `make site` does."""
    place = copy_of_the_project(tmp_path_factory.mktemp("site"))
    shutil.copytree(
        ROOT / "docs", place / "docs", ignore=shutil.ignore_patterns("_build", "generated")
    )
    words = ["sphinx", "-q", "-W", "--keep-going", "-j", "2", "docs", "docs/_build/html"]
    done = python("-m", *words, env=env, cwd=place)
    assert (done.returncode, done.stderr) == (0, "")
    return place / "docs" / "_build" / "html"


@pytest.fixture(scope="session")
def served(site: Path) -> Iterator[str]:
    """The site as a web server gives it, for what scripts may not fetch from a disk."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def from_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    yield importlib.import_module("from_run")


def test_the_task_file_s_page_has_every_key_with_what_it_says(from_run: Any) -> None:
    text = from_run.task_file()
    for part in [Task, *from_run.parts_of(Task)]:
        for name, field in part.model_fields.items():
            assert field.description and f"| `{name}` | {field.description}" in text, (part, name)


def test_the_command_line_s_page_has_every_command_and_option(from_run: Any) -> None:
    text = from_run.command_line()
    for name, command in typer.main.get_command(app).commands.items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert f"## `ml-workflow {name}`" in text
        assert [o for o in options if o.startswith("--") and o not in text] == []
    assert "tasks/\\<name>.yaml" in text


def test_text_of_a_docstring_stays_text(from_run: Any) -> None:
    assert (
        from_run.plain("a * b of `x_y` and from_ |c|") == "a \\* b of ``x_y`` and from\\_ \\|c\\|"
    )


def test_the_api_s_page_has_each_address_its_answers_and_schemas(from_run: Any) -> None:
    age = {"type": "integer", "minimum": 0, "maximum": 120}
    row = {"required": ["age"], "properties": {"age": age, "kind": {"enum": ["a", "b"]}}}
    ref = {"$ref": "#/components/schemas/Row"}
    either = {"oneOf": [ref, {"type": "array", "items": ref, "maxItems": 10000}]}
    body = {"content": {"application/json": {"schema": either}}}
    post = {"requestBody": body, "responses": {"200": {"description": "The answer.", **body}}}
    schemas = {"schemas": {"Row": row}}
    document = {"info": {}, "paths": {"/predict": {"post": post}}, "components": schemas}
    text = from_run.api_page(document)
    assert "## POST /predict" in text
    assert "Takes [Row](#row) or [Row](#row), several at most 10,000." in text
    assert "| `age` | integer from 0 to 120 | yes |" in text
    assert "| `kind` | one of `a`, `b` |" in text


def test_without_a_run_the_site_says_what_to_do(
    from_run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ML_WORKFLOW_REPORTS", str(tmp_path))
    with pytest.raises(Refusal, match="type `make run` first"):
        from_run.write(ROOT, tmp_path / "generated")


def pages_of(site: Path) -> list[Path]:
    """The pages of the site."""
    return sorted(page for page in site.resolve().rglob("*.html") if "_static" not in page.parts)


@pytest.mark.prove
def test_no_link_is_broken_every_page_is_led_to_and_none_names_a_place_of_this_machine(
    site: Path,
) -> None:
    texts = {page: page.read_text(encoding="utf-8") for page in pages_of(site)}
    names = {page: {"", *re.findall(r'\b(?:id|name)="([^"]+)"', texts[page])} for page in texts}
    free = {
        site.resolve() / f"{name}.html" for name in ("index", "genindex", "search", "py-modindex")
    }
    broken, targets = [], free
    for page, text in texts.items():
        assert "PosixPath" not in text and str(ROOT) not in text, page
        prose = re.sub(r"<script.*?</script>|<template.*?</template>", "", text, flags=re.S)
        for link in re.findall(r'\b(?:href|src)=["\']([^"\'$]+)["\']', prose):
            path, _, anchor = unquote(link).partition("#")
            target = (page.parent / path.partition("?")[0]).resolve() if path else page
            targets.add(target)
            outside = re.match(r"[a-z]+:|//", link)
            if not outside and not (target.exists() and anchor in names.get(target, {anchor})):
                broken.append((page, link))
    assert broken == [] and texts.keys() - targets == set()


@pytest.mark.prove
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_opens_without_an_error_or_a_request_outside(
    site: Path, opened: Opened, width: int
) -> None:
    page = opened(site / "index.html", width)
    for path in pages_of(site):
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        assert page.locator("img").evaluate_all(IMAGES_OPEN), path


@pytest.mark.prove
@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("name", SHOWN)
def test_no_page_shuts_somebody_out(served: str, opened: Opened, name: str, colours: str) -> None:
    assert barriers(opened(f"{served}/{name}.html", 1280, colours)) == []


@pytest.mark.prove
def test_a_reader_finds_by_search_folds_code_and_turns_on_the_dark(
    served: str, opened: Opened
) -> None:
    page = opened(f"{served}/generated/guide/03_poc.html")
    code = page.locator("details.hide").first
    assert code.locator("pre").is_visible()
    code.locator("summary").focus()
    page.keyboard.press("Enter")
    assert not code.locator("pre").is_visible()
    assert opened(f"{served}/generated/reports/03_poc.html").locator(".cell_input").count() == 0
    page.goto(f"{served}/search.html?q=sample+ratio")
    page.locator("ul.search li").first.wait_for(timeout=20_000)
    assert "statistics" in " ".join(page.locator("ul.search li").all_inner_texts()).lower()
    page.goto(f"{served}/howto/data.html")
    assert page.locator("math mfrac").first.bounding_box()["height"] > 20
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "before => getComputedStyle(document.body).backgroundColor != before", arg=before
    )
