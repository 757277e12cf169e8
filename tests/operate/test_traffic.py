"""Decisions of a window, summed in the database and sampled."""

import pandas as pd

from ml_workflow.operate.traffic import HOUR, OutcomeSums, traffic_of
from ml_workflow.store.database import insert_frames, open_decisions

DECISIONS = [
    ("early", "one/1", 0.5, "act", 1.0, 1),
    ("in time", "one/1", 0.5, "act", 1.0, 2),
    ("late", "one/1", [0.2, 0.8], "leave", 1.0, 2),
    ("open", "one/1", 0.5, "act", 1.0, 3),
    ("by the current process", "one/1", None, "act", 1.0, 3),
    ("in shadow", "one/1", {"shadow": 0.5}, "act", 1.0, 3),
    ("by chance", "one/1", 0.5, "act", 0.1, 4),
    ("of another version", "one/2", 0.5, "act", 1.0, 4),
    ("of another task", "one_more/1", 0.5, "act", 1.0, 4),
]
"""Id, version, score, action, propensity, hour."""
OUTCOMES = [
    ("early", 7, 9),
    ("in time", 1, 50),
    ("in time", 2, 20),
    ("late", 5, 20),
    ("late", 6, 200),
]
OUTCOMES += [("in shadow", 8, 10), ("of another version", 9, 10), ("of another task", 9, 10)]
"""Id, value, seconds after the decision."""


def test_the_sums_of_a_window_are_those_of_its_rows(url: str) -> None:
    engine = open_decisions(url)
    columns = ["id", "version", "score", "action", "propensity", "time"]
    decisions = pd.DataFrame(DECISIONS, columns=columns).assign(fallback=False)
    decisions = decisions.assign(
        unit=decisions["id"], row=[{"a": 1}] * 9, time=decisions["time"] * HOUR
    )
    outcomes = pd.DataFrame(OUTCOMES, columns=["decision", "value", "arrival_time"])
    outcomes["arrival_time"] += outcomes["decision"].map(decisions.set_index("id")["time"])
    outcomes["event_time"], outcomes["idempotency_key"] = 0.0, outcomes.index.astype(str)
    insert_frames(engine, {"decisions": decisions, "outcomes": outcomes})
    traffic = traffic_of(engine, "one/1", 0, 5 * HOUR, by_action=True)
    window = traffic.between(2 * HOUR, 5 * HOUR)
    assert (traffic.decisions, window.decisions) == (8, 7)
    assert traffic.by_hour.to_dict() == {1 * HOUR: 1, 2 * HOUR: 2, 3 * HOUR: 3}
    assert window.actions().to_dict() == {"act": 2, "leave": 1}
    assert traffic_of(engine, "one/1", 0, 5 * HOUR).sums["action"].eq("").all()
    own = 3 + 11, 3**2 + 11**2
    assert window.outcome_sums(100) == OutcomeSums(7, 4, 4, 2, *own)
    sample = window.sample().set_index("unit")
    assert sample["value"].dropna().to_dict() == {
        "in time": 3,
        "late": 11,
        "in shadow": 8,
        "of another version": 9,
    }
    assert list(sample.index[sample["own"] == 1]) == ["in time", "late", "open"]
    assert len(window.sample(3)) == 3
    engine.dispose()
