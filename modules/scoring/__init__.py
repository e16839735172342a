"""Batch scoring: a published model over all rows of a data file, on Beam."""
