"""Figures, number formats, the page of a notebook, the page of a run."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"figures": ["in_money", "theme"]}
)
