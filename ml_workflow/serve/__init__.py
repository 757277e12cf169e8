"""The live service: the API over a registered release, experiments, scoring into a database."""
