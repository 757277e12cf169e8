"""Deciding in production: scoring into a database, and past decisions again."""
