"""Plan, evidence, health, looks, effect, return on investment: the release against today, live."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "guardrails": ["judge_guardrails"],
        "health": ["Check", "check_health"],
        "holdout_replay": ["deal_holdout"],
        "looks": ["Look", "days_left", "looks_by_day"],
        "opening": ["open_evidence", "track_evidence"],
        "plan": ["compare_shares", "plan_experiment", "worth_on_holdout"],
        "roi": ["worth_of_effect"],
        "segments": ["compare_segments"],
        "tally": ["count_evidence"],
    },
)
