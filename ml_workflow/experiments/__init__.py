"""Plan, assignment, evidence, health, looks, effect, return on investment."""
