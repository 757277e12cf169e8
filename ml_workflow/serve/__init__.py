"""The release in use: the API, experiments, scoring into a database, and past decisions again."""
