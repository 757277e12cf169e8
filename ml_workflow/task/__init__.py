"""The task file: its model, and what of it is answered."""
