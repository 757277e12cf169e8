"""Pure mathematics on NumPy and SciPy: no input or output, nothing of the other rooms."""
