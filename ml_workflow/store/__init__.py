"""What is kept: files, a run's folder, the decisions database, tables of scores."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "database": ["insert_frames", "new_decisions"],
        "run": ["Run", "Verdict", "open_run", "reports"],
    },
)
