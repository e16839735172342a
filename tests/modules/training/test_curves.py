"""The training record as curves: the numbers by quantity, the places of names, the file."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Tree

import pytest
from PIL import Image

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.plotting import text_width
from tfx_fusion.modules.training import curves
from tfx_fusion.modules.training.curves import (
    LABEL_LINE,
    LABEL_SIZE,
    PANEL_HEIGHT,
    draw_curves,
    end_heights,
    quantities,
    stage_labels,
)


def stage(name: str, *epochs: dict[str, float]) -> dict[str, Any]:
    """A stage as the training record holds it."""
    return {"name": name, "seconds": 1.5, "unfrozen": {}, "epochs": list(epochs)}


def epoch(loss: float, accuracy: float, **more: float) -> dict[str, float]:
    return {
        "accuracy": accuracy, "loss": loss,
        "val_accuracy": accuracy - 0.1, "val_loss": loss + 0.25, **more,
    }  # fmt: skip


STAGES = [
    stage("head", epoch(2.0, 0.25), epoch(1.5, 0.5)),
    stage("finetune", epoch(1.0, 0.75)),
]


def texts(stages: list[dict[str, Any]], folder: Path) -> list[str]:
    """All that is written in the SVG, line by line."""
    path = folder / "curves.svg"
    draw_curves(stages, path)
    found = Tree.parse(path).iter("{http://www.w3.org/2000/svg}text")  # noqa: S314
    return ["".join(text.itertext()) for text in found]


# -------------------------------------------------------------------------------- the numbers


def test_epochs_count_on_through_the_stages() -> None:
    assert quantities(STAGES) == {
        "loss": {"train": {1: 2.0, 2: 1.5, 3: 1.0}, "eval": {1: 2.25, 2: 1.75, 3: 1.25}},
        "accuracy": {"train": {1: 0.25, 2: 0.5, 3: 0.75},
                     "eval": {1: 0.15, 2: 0.4, 3: 0.65}},
    }  # fmt: skip


def test_the_loss_comes_first_then_those_of_the_outputs() -> None:
    given = {"kind_accuracy": 0.5, "kind_loss": 1.0, "loss": 3.0, "size_loss": 2.0}

    assert list(quantities([stage("head", given)])) == [
        "loss", "kind_loss", "size_loss", "kind_accuracy",
    ]  # fmt: skip


def test_what_only_some_epochs_measured_has_only_those() -> None:
    found = quantities([stage("head", {"loss": 2.0}), stage("tune", epoch(1.0, 0.5))])

    assert found["loss"] == {"train": {1: 2.0, 2: 1.0}, "eval": {2: 1.25}}
    assert found["accuracy"] == {"train": {2: 0.5}, "eval": {2: 0.4}}


def test_an_output_may_be_named_like_a_value_of_the_eval_split() -> None:
    given = {"loss": 1.0, "val_loss": 2.0, "val_day_loss": 3.0, "val_val_day_loss": 4.0}

    assert quantities([stage("head", given)]) == {
        "loss": {"train": {1: 1.0}, "eval": {1: 2.0}},
        "val_day_loss": {"train": {1: 3.0}, "eval": {1: 4.0}},
    }


# ------------------------------------------------------------------------------ where names are


def test_the_name_of_a_stage_stands_where_its_band_begins() -> None:
    head, finetune = stage_labels(STAGES)

    assert (head.text, head.start, head.level) == ("head", 0.0, 0)
    assert finetune.start == pytest.approx(curves.PANEL_WIDTH * 2 / 3)
    assert finetune.level == 0


def test_names_of_short_stages_do_not_meet() -> None:
    one = epoch(1.0, 0.5)
    stages = [stage("head", *[one] * 30)]
    stages += [stage(f"stage_with_a_long_name_{number}", one) for number in range(4)]

    labels = stage_labels(stages)

    assert len({label.level for label in labels}) > 1
    for label in labels:
        assert label.end > label.start + text_width(label.text, LABEL_SIZE)
    for one_label, other in combinations(labels, 2):
        if one_label.level == other.level:
            assert one_label.end <= other.start
    # The line from a high name down to its band crosses no name below it.
    for high in labels:
        for low in labels:
            if low.level < high.level:
                assert not low.start < high.start < low.end


def test_a_stage_without_epochs_has_no_band() -> None:
    labels = stage_labels([stage("head", epoch(1.0, 0.5)), stage("skipped")])

    assert [label.text for label in labels] == ["head"]


@pytest.mark.parametrize(
    "wanted", [[70.0, 70.5], [-3.0, 0.0], [0.0, 0.0], [149.0, 150.0], [20.0, 120.0], [80.0]]
)
def test_the_names_of_the_lines_keep_apart_and_in_the_panel(wanted: list[float]) -> None:
    heights = end_heights(wanted)

    assert all(lower + LABEL_LINE <= upper + 1e-9 for lower, upper in combinations(heights, 2))
    assert all(
        LABEL_LINE / 2 <= height <= PANEL_HEIGHT - LABEL_LINE / 2 + 1e-9 for height in heights
    )


def test_the_names_of_lines_far_apart_stand_at_their_ends() -> None:
    assert end_heights([20.0, 120.0]) == [20.0, 120.0]


# ------------------------------------------------------------------------------------ the file


def test_the_svg_names_every_quantity_stage_and_line(tmp_path: Path) -> None:
    found = texts(STAGES, tmp_path)

    assert {"loss", "accuracy"} <= set(found)
    assert found.count("head") == found.count("finetune") == 2
    assert {"train 1", "eval 1.25", "train 0.75", "eval 0.65"} <= set(found)


def test_a_line_that_ends_in_no_number_shows_the_last_it_had(tmp_path: Path) -> None:
    stages = [stage("head", {"loss": 3.5}, {"loss": math.nan})]

    assert "train 3.5" in texts(stages, tmp_path)
    nothing = texts([stage("head", {"loss": math.nan})], tmp_path)
    assert not [text for text in nothing if text.startswith("train")]


def test_a_loss_over_several_magnitudes_has_a_logarithmic_axis(tmp_path: Path) -> None:
    steep = [stage("head", {"loss": 900.0, "auc": 0.001}, {"loss": 2.0, "auc": 0.9})]

    assert {"loss (logarithmic)", "auc"} <= set(texts(steep, tmp_path))
    # A loss of zero has no logarithm.
    assert "loss" in texts([stage("head", {"loss": 900.0}, {"loss": 0.0})], tmp_path)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
def test_each_quantity_has_a_panel(count: int, tmp_path: Path) -> None:
    names = ["loss", *(f"output_{number}_accuracy" for number in range(count - 1))]

    found = texts([stage("head", dict.fromkeys(names, 0.5))], tmp_path)

    assert found.count("epoch") == count
    assert set(names) <= set(found)


def test_the_png_shows_bands_and_lines(tmp_path: Path) -> None:
    draw_curves(STAGES, tmp_path / "curves.png")

    with Image.open(tmp_path / "curves.png") as image:
        colours = image.convert("RGB").getcolors(maxcolors=1 << 24)
    assert colours is not None
    seen = {colour for count, colour in colours if count > 100}
    wanted = [*curves.BANDS, *(colour for colour, _ in curves.STYLES.values())]
    assert {tuple(bytes.fromhex(colour[1:])) for colour in wanted} <= seen


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.svg", "other.svg"):
        draw_curves(STAGES, tmp_path / name)

    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.svg", "other.svg"]


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"curves\.jpg: expected a name that ends in"):
        draw_curves(STAGES, tmp_path / "curves.jpg")


def test_a_record_without_epochs_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no epochs to draw"):
        draw_curves([stage("head")], tmp_path / "curves.png")
