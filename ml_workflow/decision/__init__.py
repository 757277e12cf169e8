"""What is decided, and what it is worth: kinds of target, values, processes, expressions."""
