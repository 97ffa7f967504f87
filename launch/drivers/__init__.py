"""What runs a study's trials."""
