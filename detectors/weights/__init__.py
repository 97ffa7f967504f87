"""Initial weights: what a detector starts from, and what could not be placed."""
