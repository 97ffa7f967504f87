"""A single trial: its stages and what they leave on disk."""
