"""A study: its trials, their results, and what the sampler knows of them."""
