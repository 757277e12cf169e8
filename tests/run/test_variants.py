"""The file of a sweep gives variants whose parameters are checked before anything starts."""

from pathlib import Path

import pytest

from ml_workflow.errors import Refusal
from ml_workflow.run.variants import Sweep, read_sweep


def read(folder: Path, text: str) -> Sweep:
    """The sweep of a file with this text."""
    path = folder / "few.yaml"
    path.write_text(text)
    return read_sweep(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grid: {leafs: [7, 31]}", "'leaves'"),
        ("grid: {leaves: [7, many]}", "a whole number"),
        ("grid: {leaves: 7}", "few.yaml: grid.leaves: input should be a valid list"),
        ("gird: {leaves: [7]}", "the key 'gird' is not known. Did you mean 'grid'"),
        ("random: {n: 2, parameters: {leaves: {low: 5}}}", "parameters.leaves.range.high' is miss"),
        ("random: {n: 2, parameters: {leaves: {low: 5, high: 4}}}", "low must be at most high"),
        ("random: {n: 0, parameters: {leaves: [5]}}", "random.n: input should be greater than"),
        ("until: 07_party", "03_poc"),
        ("tasks: penguins", "tasks: input should be a valid list"),
        ("list: 7", "list: input should be a valid list"),
        ("grid: [", "is not YAML"),
        ("- grid", "must be a mapping"),
        (None, "There is no sweep"),
    ],
)
def test_what_is_wrong_in_a_sweep_is_refused(text: str | None, words: str, tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refusal:
        read(tmp_path, text) if text else read_sweep(tmp_path / "none.yaml")
    assert words in str(refusal.value)


def test_grid_list_and_random_add_up_and_random_is_the_same_each_time(tmp_path: Path) -> None:
    text = """
tasks: [penguins, bikes]
base: {folds: 3}
grid: {leaves: [7, 31], 03_poc.seed: [0, 1]}
list: [{leaves: 15}, {leaves: 7, 03_poc.seed: 0}]
random:
  n: 3
  seed: 7
  parameters: {learning_rate: {low: 0.001, high: 0.5, log: true}, leaves: {low: 5, high: 9}}
"""
    sweep = read(tmp_path, text)
    assert sweep == read(tmp_path, text)
    assert len(sweep.variants) == 2 * (4 + 1 + 3)  # one of the list stands in the grid already
    settings = sweep.variants[5].settings
    assert settings["task"] == "penguins" and settings["leaves"] in range(5, 10)
    assert 0.001 <= settings["learning_rate"] <= 0.5
    assert all(variant.parameters["03_poc"]["folds"] == 3 for variant in sweep.variants)
