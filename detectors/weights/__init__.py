"""Initial weights: sources, and copying them into a detector."""
