"""The steps of the decisions database, run by Alembic."""
