"""A guardrail is held only when shown, and broken only when sure."""

from ml_workflow.experiments.guardrails import judge_guardrail, judge_guardrails
from ml_workflow.experiments.looks import looks_by_day
from ml_workflow.experiments.plan import DAY
from ml_workflow.experiments.tally import count_evidence
from ml_workflow.task.definition import Guardrail
from tests.experiments.conftest import Store
from tests.experiments.traffic import traffic


def test_a_guardrail_is_held_only_when_shown_and_broken_only_when_sure(store: Store) -> None:
    tally = count_evidence(store(traffic(effect=-1.0)), 7 * DAY)
    for margin, better, critical, held, broken in [
        (3.0, "higher", 2.0, True, False),
        (1.0, "higher", 2.0, False, False),
        (0.1, "higher", 2.0, False, True),
        (0.1, "higher", 9.0, False, False),
        (0.1, "lower", 2.0, True, False),
    ]:
        guardrail = Guardrail(margin=margin, better=better)
        result = judge_guardrail(tally.sums, guardrail, critical)
        assert (result.held, result.broken) == (held, broken)
    table = judge_guardrails(tally, looks_by_day(tally, 4_000)[-1])
    assert table.index.tolist() == ["action act"] and not table["held"].any()
    assert table["holm"].item() == table["p"].item()
    assert not judge_guardrails(tally, None)["broken"].any()
