"""Drivers, which run a study's trials."""
