"""The check of a candidate in a model server: right answers, refusals, speed."""
