"""Fuses pretrained models into one, trains, checks and serves it with TFX."""
