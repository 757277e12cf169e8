"""ml-workflow: from a question to an A/B-tested model, in six notebooks."""

__version__ = "0.1.0"
