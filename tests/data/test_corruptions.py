"""Each way in which data breaks changes the rows."""

import numpy as np
import pandas as pd

from ml_workflow.data.corruptions import CORRUPTIONS, Sample


def test_every_way_breaks_a_table_that_has_what_it_needs() -> None:
    numbers = np.arange(100.0)
    rows = pd.DataFrame({"unit": range(100), "x": numbers[::-1], "z": numbers}).assign(
        y=[0, 0, 1, 1] * 25, text="été", time=pd.Timestamp("2026-03-04")
    )
    columns = (["x", "z"], ["text"], ["time"], "unit", "y")
    sample = Sample(rows, rows.tail(40), *columns, seed=0)
    broken = {way: corrupt(sample) for way, corrupt in CORRUPTIONS.items()}
    same = [way for way, frame in broken.items() if frame is None or frame.equals(rows)]
    assert same == ["whole numbers as decimals"]
    nothing = Sample(rows, rows, [], [], [], "unit", "y", seed=0)
    left = [way for way, corrupt in CORRUPTIONS.items() if corrupt(nothing) is not None]
    assert len(left) == 9 and "joined twice" in left
