"""Metrics: one table of all that can be named in a specification, and their formulas."""
