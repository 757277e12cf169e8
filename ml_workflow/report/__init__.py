"""Figures, number formats, the page of a notebook, the page of a run."""
