"""One look for every figure and table."""

from typing import Any

import pandas as pd


def theme() -> Any:
    """Seaborn and pandas, set for pages: sizes, colours for the colour-blind, whole sentences.

    Returns seaborn.
    """
    import seaborn as sns

    pd.set_option("display.max_colwidth", 300)
    # A table's names and categories are text, whatever they say.
    pd.set_option("styler.format.escape", "html")
    pd.set_option("display.float_format", lambda x: f"{x:,.0f}" if abs(x) >= 1000 else f"{x:,.4g}")
    sns.set_theme(
        style="whitegrid",
        palette="colorblind",
        rc={
            "figure.figsize": (8, 3.6),
            "figure.dpi": 100,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "figure.constrained_layout.use": True,
        },
    )
    return sns


def in_money(axis: Any) -> None:
    """Let the ticks of a money axis be as people read them: 2.5M, not 0.25 with 1e7 in a corner."""
    from matplotlib.ticker import EngFormatter

    axis.set_major_formatter(EngFormatter(sep=""))
