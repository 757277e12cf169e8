"""A release in operation: monitoring of its decisions, retraining, and simulated time."""
