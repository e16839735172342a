"""Text, scaled numbers and what rows lack: drawn by a generator of its own."""

from __future__ import annotations

from tests.differential.case import Case, generator
from tests.differential.rows import PADDING, UNKNOWN

TOKENS = ("red", "green", "café", "sky", "on", "off")


def draw_more_features(case: Case) -> None:
    """Changes the features of a drawn case."""
    random = generator(case.seed, "features")
    often = 3 if "full" in case.levels else 1  # the others do not read them from rows
    for name, feature in case.features.items():
        kind, [first, *_] = feature["kind"], feature["shape"]
        missing = {"replace": ("learned", "zeros", "mean")[random.integers(3)]}
        lacks, changed = random.random() < 0.3, random.random() < 0.15 * often
        if kind == "words" and lacks and not _joins(case, name):  # text cannot be replaced
            feature["missing"] = missing
        elif kind == "ids" and changed:
            lines = [PADDING, *[UNKNOWN] * int(random.integers(2)), *TOKENS]
            feature |= {"kind": "text", "encoding": "ids", "vocabulary": lines[:7]}
        elif kind == "vector" and changed and random.random() < 0.5:
            feature |= {"kind": "text", "encoding": "multi_hot"}
            feature["vocabulary"] = [*[UNKNOWN] * int(random.integers(2)), *TOKENS][:first]
        elif kind == "vector" and changed:
            normalize = ("standard", "min_max")[random.integers(2)]
            feature |= {"kind": "number", "normalize": normalize}
            feature["constant"] = bool(random.random() < 0.3)
        if feature["kind"] == "text" and lacks:
            whole = feature["encoding"] == "ids" and _joins(case, name)
            feature["missing"] = {"replace": "zeros"} if whole else missing
        media = kind in ("image", "variable", "sequence")
        if media and feature.get("missing") and random.random() < 0.6:
            feature["missing"]["unreadable"] = "missing"


def _joins(case: Case, name: str) -> bool:
    """Whether something takes a feature as it is together with others, and it is replaced there."""
    return any(
        name in case.inputs_of(consumer)
        and len(set().union(*map(case.upstream, case.inputs_of(consumer)))) > 1
        for consumer in (*case.submodels, *case.nodes)
    )
