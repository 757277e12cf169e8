"""What a definition should have, and what its absence means."""

import pandas as pd

from .definition import Task


def checklist(task: Task) -> pd.DataFrame:
    """What a task should have, whether it is there, and what its absence means; one item a row."""
    value = task.value
    rows = [
        ("question", task.question, "nobody knows what is asked"),
        ("current process", task.current_process, "the best constant decision stands in"),
        (
            "value of decisions",
            task.has_values,
            "one unit for a right decision; ROI is not stated",
        ),
        ("decisions a month", value.decisions_per_month, "figures are for 1,000 decisions"),
        ("cost of building", value.build_cost, "ROI is not stated"),
        ("data a human would want", task.wanted, "nobody has asked what is missing"),
        ("how others solved it", task.research, "no yardstick from outside"),
    ]
    frame = pd.DataFrame(rows, columns=["item", "there", "if missing"])
    return frame.assign(there=["yes" if there else "no" for _, there, _ in rows])
