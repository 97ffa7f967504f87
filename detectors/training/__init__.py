"""Training: one loop for all, with what surrounds it."""
