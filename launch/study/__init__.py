"""A study: what was proposed, what came of it."""
