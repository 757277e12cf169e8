"""Functions from frame to frame."""
