"""The limits that data must be within to be trained on."""

from typing import Literal

from tfx_fusion.modules.spec.base import Fraction, Name, Part


class DataChecks(Part):
    """What stops a run before anything is trained.

    `anomalies` against the schema that the specification implies stop it, or are only reported.
    `max_leakage` is the share of eval rows that may hold a picture, or a sequence read from a
    file, that a training row holds too, byte for byte. `max_drift` bounds how far each feature
    and label may lie from the data that the champion was trained on, and `drift` does so for
    single ones: 0 is the same distribution, 1 has nothing in common with it.
    """

    anomalies: Literal["stop", "report"] = "stop"
    # Any row that was learnt by heart makes the model look better than it is.
    max_leakage: Fraction = 0.0
    # A class that gained 30 points, or numbers moved by some two standard deviations: other data,
    # and far from what chance does to a few dozen rows.
    max_drift: Fraction = 0.3
    drift: dict[Name, Fraction] = {}
