"""Each way that data breaks is told apart: harmless, caught by a check, or missed."""

import numpy as np
import pandas as pd

from ml_workflow.data.corruptions import CORRUPTIONS, NOTHING, columns_of, matrix

ROWS = pd.DataFrame({"unit": range(100), "x": np.arange(100.0), "y": 0})


def table_of(check: object) -> pd.DataFrame:
    """The matrix of a model that acts where x is large."""
    columns = columns_of({"x": "number"}, "unit", "y", ROWS)
    score = lambda frame: frame["x"].to_numpy(dtype=float)  # noqa: E731
    decide = lambda _, scores: np.where(scores > 50, "act", "leave").astype(object)  # noqa: E731
    return matrix(ROWS, columns, score, decide, {"check": check}, 0)


def test_what_a_check_says_of_sound_rows_too_does_not_count_as_a_catch() -> None:
    verdicts = table_of(lambda frame, scores: {"always": "said"})["verdict"]
    assert verdicts[NOTHING] == "check" and "check" not in set(verdicts.drop(NOTHING))
    assert verdicts["the sign turned"] == "missed"
    assert verdicts["columns in another order"] == "harmless"


def test_the_first_check_that_tells_is_the_verdict() -> None:
    found = table_of(
        lambda frame, scores: {} if scores is None or scores.min() >= 0 else {"low": ""}
    )
    assert found.loc["the sign turned", ["verdict", "by check"]].tolist() == ["check", "low"]
    assert found.loc["a column missing", "decisions changed"] == 1.0


def test_every_way_breaks_a_table_that_has_what_it_needs() -> None:
    rows = ROWS.assign(
        x=ROWS["x"].to_numpy()[::-1],
        z=ROWS["x"],
        y=[0, 0, 1, 1] * 25,
        text="été",
        time=pd.Timestamp("2026-03-04"),
    )
    kinds = {"x": "number", "z": "number", "text": "text", "time": "time"}
    columns = columns_of(kinds, "unit", "y", rows.tail(40))
    broken = {way: f(rows, columns, np.random.default_rng(0)) for way, f in CORRUPTIONS.items()}
    same = [way for way, frame in broken.items() if frame is None or frame.equals(rows)]
    assert same == ["whole numbers as decimals"]
