"""An expression computes from one row's columns and reaches nothing else."""

import numpy as np
import pandas as pd
import pytest

from ml_workflow.decision.expressions import evaluate
from ml_workflow.errors import Refusal

FRAME = pd.DataFrame(
    {"a": ["from", "x"], "from": [1, 2], "x": [1.0, 2.0], "a b": [3, 4], "read_csv": [0, 1]}
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x >= 2", [False, True]),
        ("case when a = 'from' then \"from\" else 5 end", [1, 5]),
        ('"a b" * 2', [6, 8]),
        ("a = 'select; from read_csv'", [False, False]),
        ("read_csv + 1", [1, 2]),
        ("7", [7, 7]),
    ],
)
def test_an_expression_computes_a_value_for_each_row(text: str, expected: list[float]) -> None:
    assert np.array_equal(evaluate({"value": text}, FRAME)["value"], expected)


@pytest.mark.parametrize(
    "text",
    [
        "1) FROM read_csv('x') --",
        "1) FROM read_csv('x') WHERE (true",
        "1) FROM examples; SET threads = 1; SELECT (1",
        "1) FROM examples; SELECT (2",
        "(select 1)",
        "x in (from read_csv('x'))",
        "x) union select (1",
        "1) as a, (2",
        "avg(x) over ()",
        "avg(x)",
        "unnest([1, 2])",
        "1; select 2",
        "*",
        "columns(*)",
        "current_setting('threads')",
        "getenv('HOME')",
        "read_text('/etc/passwd')",
        "random()",
        "x +",
        "nope + 1",
        "a::int",
    ],
)
def test_anything_else_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(Refusal, match=r"^value is ") as refused:
        evaluate({"sound": "x + 1", "value": text}, FRAME)
    assert "\n" not in str(refused.value)
