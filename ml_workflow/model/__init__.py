"""Fitting, judging, leaks, search, explanation, behaviour, release, registry."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "drift": ["drift_between_parts"],
        "fitting": ["booster", "folds_of", "linear"],
        "judging": ["comparison", "judge", "ledger", "trial"],
        "leaks": ["leaking_columns"],
        "learning": ["learning_curve"],
        "release": ["keep_release", "load_release"],
        "signal": ["signal_by_column"],
        "vectorizing": ["scaled", "vectorized"],
    },
)
