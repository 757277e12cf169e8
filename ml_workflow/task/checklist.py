"""What a definition should have, and what its absence means."""

import pandas as pd

from .definition import Task


def checklist(task: Task) -> pd.DataFrame:
    "What a definition should have, whether it is there, and what its absence means."
    found = {
        "question": (bool(task.question), "nobody knows what is asked"),
        "current process": (
            task.current_process is not None,
            "the best constant decision stands in",
        ),
        "value of decisions": (task.has_values, "one unit for a right decision; ROI is not stated"),
        "decisions a month": (
            task.value.decisions_per_month is not None,
            "figures are for 1,000 decisions",
        ),
        "cost of building": (task.value.build_cost > 0, "ROI is not stated"),
        "data a human would want": (bool(task.wanted), "nobody has asked what is missing"),
        "how others solved it": (bool(task.research), "no yardstick from outside"),
    }
    return pd.DataFrame(
        [
            {"item": item, "there": "yes" if there else "no", "if missing": so}
            for item, (there, so) in found.items()
        ]
    )
