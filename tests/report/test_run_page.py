"""The page of a run: what a manager reads, on a screen, a phone and paper."""

import json
from pathlib import Path

import pytest

from ml_workflow.report.records import Record, read_record
from ml_workflow.report.run_page import caveats, next_steps, write_run_page
from ml_workflow.store.run import Verdict
from ml_workflow.task.file import read_task
from tests.report.test_index import record
from tests.whole.conftest import Opened, barriers
from tests.whole.test_run import assert_stands_alone


def test_verdict_and_money_come_first_then_question_evidence_caveats_and_what_is_next(
    finished: Path, opened: Opened
) -> None:
    page = opened(finished / "index.html")
    assert page.locator("h1").inner_text() == "Which species is this penguin?"
    assert page.locator("h2").all_inner_texts() == [
        "The question",
        "The evidence",
        "The caveats",
        "What happens next",
    ]
    top = page.locator(".verdict").inner_text() + page.locator(".money").inner_text()
    net = read_record(finished / "run.json").net_figures["net_value_per_month"]
    assert f"{abs(net[1]):,.0f}" in top and f"{abs(net[0]):,.0f}" in top
    assert page.locator(".money").bounding_box()["y"] < page.locator("h2").first.bounding_box()["y"]
    assert page.locator("table tbody tr").count() == 6


def test_the_page_stands_alone_and_its_links_lead_to_pages(finished: Path, opened: Opened) -> None:
    assert_stands_alone(finished / "index.html")
    page = opened(finished / "index.html")
    links = page.locator("a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert len(links) == 7 and all((finished / link).exists() for link in links)
    assert all(
        page.locator("img").evaluate_all(
            "all => all.map(one => one.alt.startsWith('Figure: ') && one.naturalWidth > 0)"
        )
    )


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_barrier_and_nothing_wider_than_the_screen(
    finished: Path, opened: Opened, width: int, colours: str
) -> None:
    page = opened(finished / "index.html", width, colours)
    assert barriers(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_paper_shows_ink_on_white_and_no_navigation(finished: Path, opened: Opened) -> None:
    page = opened(finished / "index.html", colours="dark")
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_each_outcome_says_what_happens_next(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_WORKFLOW_REPORTS", str(tmp_path))
    run, first = read_record(finished / "run.json"), set()
    for run.outcome in ("ship", "stop", "failed", "pending", "keep running"):
        first.add(next(next_steps(run)))
    assert len(first) == 5
    (run.folder / "files").mkdir(parents=True)
    for passed, expected in ((True, "62,548 units, 63 days"), (False, "73 units are few.")):
        check = {"name": "tails", "passed": passed, "said": "73 units are few."}
        decision = {"plan": {"units": 62548, "days": 63}, "checks": [check]}
        (run.folder / "files" / "decision.json").write_text(json.dumps(decision))
        assert expected in list(next_steps(run))[1]


def test_an_interval_that_holds_zero_and_a_forced_stop_are_caveats(finished: Path) -> None:
    task, run = read_task(finished / "files" / "task.yaml"), read_record(finished / "run.json")
    run.net_figures["net_value_per_month"] = [1.0, 2.0, 3.0]
    sure = list(caveats(task, run))
    run.net_figures["net_value_per_month"] = [-1.0, 2.0, 3.0]
    run.stages[1].verdict = Verdict(False, "No signal.")
    zero, forced = [sentence for sentence in caveats(task, run) if sentence not in sure]
    assert "holds zero" in zero and forced.startswith("Research said stop")


def test_a_run_that_failed_at_once_still_has_a_page_and_text_stays_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_WORKFLOW_REPORTS", str(tmp_path))
    run = Record.model_validate(record(1, outcome="failed", task="<i>credit</i>"))
    for stage in run.stages:
        stage.verdict, stage.status = None, "pending"
    run.stages[0].fail("the column <b> is missing")
    text = write_run_page(run).read_text(encoding="utf-8")
    assert "Define failed: the column &lt;b&gt; is missing" in text and "<!--" not in text
