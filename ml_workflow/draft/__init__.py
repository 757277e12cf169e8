"""A first task from a table, its questions, and the check before a run."""
