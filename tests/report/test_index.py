"""The page that compares runs, in a real browser and from disk."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_workflow.report.index import write_index
from ml_workflow.store.run import STAGES
from tests.whole.conftest import Opened


def stage(number: int, name: str, net: float) -> dict[str, Any]:
    """A stage of a run that went to 03."""
    inputs = {
        "notebook": f"{number:064d}",
        "parameters": "",
        "files": {"tasks/penguins.yaml": "a" * 64, "data/penguins.csv.gz": "b" * 64},
        "modules": {f"ml_workflow/module_{m}.py": f"{m:064d}" for m in range(25)},
    }
    begun = {"name": name, "seconds": 1.0, "started": "2026-11-24T02:00:00Z", "inputs": inputs}
    if name > "03_poc":
        return {**begun, "status": "pending"}
    figures = {
        "net_value_per_month": [net - 200, net, net + 200],
        "log_loss": net / 1000,
        "payback_months": None,
        "lost": float("nan"),
    }
    verdict = {"go": True, "answer": f"Booster <b>{net}</b> beats it.", "figures": figures}
    return {**begun, "status": "done", "verdict": verdict}


def record(number: int, **changes: Any) -> dict[str, Any]:
    """A plausible record of a run that went to 03."""
    rng = random.Random(number)
    net = rng.gauss(1000, 300)
    rate, leaves = rng.choice([0.02, 0.05, 0.1]), rng.choice([7, 31])
    time = f"{number // 3600:02}{number // 60 % 60:02}{number % 60:02}"
    return {
        "run": f"penguins-20261124T{time}-{number:06x}",
        "task": "penguins",
        "parameters": {"03_poc": {"learning_rate": rate, "leaves": leaves, "seed": number % 3}},
        "stages": [stage(n, name, net) for n, name in enumerate(STAGES)],
        "outcome": "pending",
        "versions": {f"library-{i}": "1.0" for i in range(15)},
        "sweep": {"name": "s", "variant": {}},
        **changes,
    }


def write(reports: Path, records: list[dict[str, Any]]) -> Path:
    """A folder of reports with these runs, and its index."""
    for entry in records:
        files = reports / entry["run"] / "files"
        files.mkdir(parents=True)
        (files.parent / "run.json").write_text(json.dumps(entry))
        (files / "task.yaml").write_text("name: penguins\nvalue:\n  currency: $\n")
    return write_index()


@pytest.fixture
def open_index(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[list[dict[str, Any]]], Any]:
    """Opens the index of these runs."""
    monkeypatch.setenv("ML_WORKFLOW_REPORTS", str(tmp_path))
    return lambda records: opened(write(tmp_path, records))


def shown(page: Any, name: str) -> list[str]:
    """The column of that name, of the rows that are shown."""
    number = page.locator("#runs thead th").all_text_contents().index(name) + 1
    cells = page.locator(f"#runs tbody tr:visible td:nth-child({number})").all_inner_texts()
    return [text.split("\n")[0] for text in cells]


def test_a_click_on_a_column_sorts_by_number_and_a_second_one_turns_it_round(
    open_index: Any,
) -> None:
    page, sorted_values = open_index([record(n) for n in range(12)]), []
    for _ in range(2):
        page.get_by_role("button", name="net value a month").click()
        texts = shown(page, "net value a month")
        sorted_values.append([float(t.removeprefix("$ ").replace(",", "")) for t in texts])
    up, down = sorted_values
    assert up == sorted(up) and down == up[::-1] and len(set(up)) > 5


def test_runs_without_a_figure_stand_last_whichever_way_the_table_is_sorted(
    open_index: Any,
) -> None:
    broken = record(5, outcome="failed")
    for stage in broken["stages"]:
        stage.pop("verdict", None)
        stage |= (
            {"status": "failed", "error": "folds must be 2 or more"}
            if stage["name"] == "00_define"
            else {"status": "pending"}
        )
    page = open_index([record(1), broken, record(2)])
    for _ in range(2):
        page.get_by_role("button", name="net value a month").click()
        assert shown(page, "outcome")[-1] == "failed"
    assert "folds must be 2 or more" in shown(page, "verdict")


def test_the_filter_keeps_rows_that_have_every_word(open_index: Any) -> None:
    page = open_index([record(n) for n in range(12)])
    page.locator("#filter").fill("penguins 03_poc.seed=1")
    assert shown(page, "03_poc.seed") == ["1"] * 4
    page.locator("#filter").fill("no such run")
    assert shown(page, "task") == []


def test_chosen_runs_show_what_differs_and_nothing_else(open_index: Any) -> None:
    one, two = record(1), record(2)
    for stage in two["stages"]:
        stage["inputs"]["files"]["data/penguins.csv.gz"] = "c" * 64
    two["stages"][3]["inputs"]["notebook"] = "d" * 64
    page = open_index([one, two])
    page.locator("#all").click()
    rows = {
        row.split("\t")[0]: row.split("\t")[1:]
        for row in page.locator("#difference tbody tr").all_inner_texts()
    }
    assert rows["data/penguins.csv.gz"] == ["cccccccc", "bbbbbbbb"]
    assert rows["nbs/03_poc.ipynb"][0] == "dddddddd" and rows["03_poc.seed"] == ["2", "1"]
    assert rows["net_value_per_month"][0].startswith("$ ") and "…" in rows["net_value_per_month"][0]
    assert "tasks/penguins.yaml" not in rows and "library-1" not in rows
    page.locator("#none").click()
    assert page.locator("#difference tbody tr").count() == 0


def test_a_figure_is_drawn_against_each_parameter_that_varies(open_index: Any) -> None:
    page = open_index([record(n) for n in range(30)])
    assert page.locator("#plots figcaption").all_inner_texts() == [
        "03_poc.learning_rate",
        "03_poc.leaves",
        "03_poc.seed",
    ]
    assert page.locator("#plots svg").first.locator("circle").count() == 30
    page.locator("#figure").select_option("log_loss")
    assert (
        page.locator("#plots svg").first.get_attribute("aria-label")
        == "log_loss against 03_poc.learning_rate"
    )


def test_text_of_a_run_stays_text(open_index: Any) -> None:
    page = open_index([record(3, task="</script><b>bold</b>")])
    assert shown(page, "task") == ["</script><b>bold</b>"] and page.locator("td b").count() == 0


def test_links_lead_to_the_stages_pages_and_the_table_scrolls_on_a_phone(open_index: Any) -> None:
    page = open_index([record(n) for n in range(3)])
    assert (
        page.locator("#runs td.pages a").first.get_attribute("href")
        == f"{record(2)['run']}/00_define.html"
    )
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_five_hundred_runs_open_at_once(open_index: Any) -> None:
    page = open_index([record(n) for n in range(500)])
    assert page.locator("#runs tbody tr").count() == 500
    assert page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") < 10_000
