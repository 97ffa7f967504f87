"""The decisions of a study, from its records only: no driver, no report."""
