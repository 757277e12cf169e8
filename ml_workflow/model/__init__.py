"""Vectorizing, fitting, judging, leaks, search, explanation, behaviour, release, registry."""
