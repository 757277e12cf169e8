"""What is kept: task files, tables, a run's folder, releases, the decisions database."""
