"""What a project exports from 02_dataset: a feature of the tasks that these tests serve."""

import pandas as pd


def area(frame: pd.DataFrame) -> pd.DataFrame:
    """The area of a bill, without a gap; the island is left out."""
    area = (frame["bill_length_mm"] * frame["bill_depth_mm"]).fillna(0)
    return frame.drop(columns="island", errors="ignore").assign(area=area)
