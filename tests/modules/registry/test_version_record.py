"""Version records: read back, damaged, and the digest that identifies a model."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.registry.publish import publish
from tfx_fusion.modules.registry.version_record import (
    VERSION_RECORD_FILE,
    Provenance,
    model_digest,
    published_digest,
    read_version_record,
)


def test_a_version_without_a_record_is_read_as_none(
    make_model: Callable[[str], Path],
) -> None:
    assert read_version_record(make_model("a")) is None


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text: text[: len(text) // 2], "Invalid JSON"),
        (lambda text: "", "Invalid JSON"),
        (lambda text: text.replace('"data"', '"dta"'), "data: Field required"),
        (lambda text: text.replace("0.75", '"much"'), "metrics.colour.accuracy: Input should be"),
    ],
    ids=["cut off", "empty", "a part is missing", "a wrong value"],
)
def test_a_damaged_record_is_refused_with_its_place(
    damage: Callable[[str], str], reason: str, publish_content: Callable[..., Any]
) -> None:
    version = publish_content("a").version.path
    file = version / VERSION_RECORD_FILE
    file.write_text(damage(file.read_text()))

    with pytest.raises(RunError) as caught:
        read_version_record(version)

    assert str(caught.value).startswith(f"{file}: the version record is damaged ({reason}")
    assert "restore it from a copy, or delete it" in str(caught.value)


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_text("{")])
def test_a_model_is_recognised_without_its_record(
    damage: Callable[[Path], object], publish_content: Callable[..., Any]
) -> None:
    version = publish_content("a").version
    damage(version.path / VERSION_RECORD_FILE)

    assert publish_content("a").version == version


def test_a_metric_without_a_value_survives(
    make_model: Callable[[str], Path], provenance: Provenance, serving: Path
) -> None:
    metrics = {"colour": {"precision": math.nan}}
    version = publish(make_model("a"), serving, provenance, metrics, None, None).version

    record = read_version_record(version.path)

    assert record is not None
    assert math.isnan(record.metrics["colour"]["precision"])
    json.loads((version.path / VERSION_RECORD_FILE).read_text(), parse_constant=pytest.fail)


def test_the_digest_is_of_all_that_is_served_and_of_nothing_else(
    make_model: Callable[[str], Path], tmp_path: Path
) -> None:
    model = make_model("a")
    digest = model_digest(model)
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    (copy / "assets.extra" / "tf_serving_warmup_requests").write_text("warm")
    assert model_digest(copy) == digest

    moved = tmp_path / "moved"
    shutil.copytree(model, moved)
    (moved / "variables").rename(moved / "other")
    changed = tmp_path / "changed"
    shutil.copytree(model, changed)
    (changed / "variables" / "variables.index").write_text("another")
    assert len({digest, model_digest(moved), model_digest(changed)}) == 3


def test_a_published_models_digest_is_read_not_computed_again(
    publish_content: Callable[..., Any],
) -> None:
    outcome = publish_content("a")
    digest = outcome.record.model_digest
    (outcome.version.path / "saved_model.pb").write_text("another")

    assert published_digest(outcome.version.path) == digest
