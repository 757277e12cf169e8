"""The search for a model: spaces of five families, a study under a time budget, and a blend; arrays in, no task known."""
