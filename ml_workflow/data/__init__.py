"""Tables, sources, joins, history, split, contract, corruptions, and the pipeline over them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "contract": ["Contract"],
        "corruptions": ["NOTHING"],
        "features": ["as_it_is", "feature_step"],
        "joins": ["examples", "inputs", "sources"],
        "split": ["check_holdout", "duplicates", "is_holdout", "sampled"],
        "tables": ["content_hash", "read_table"],
    },
)
