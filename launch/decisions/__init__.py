"""What a study decides, from its records alone: no driver, no report."""
