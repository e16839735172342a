"""Publishing: a copy with its version record, once, under rising numbers."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from folders import files, visible

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.registry.publish import publish
from tfx_fusion.modules.registry.rollback import roll_back
from tfx_fusion.modules.registry.version_record import Provenance, model_digest, read_version_record
from tfx_fusion.modules.registry.versions import all_versions, newest_version

Publish = Callable[..., Any]


def test_a_version_is_a_copy_of_the_model_with_a_version_record_in_it(
    publish_content: Publish, make_model: Callable[[str], Path], serving: Path
) -> None:
    older = publish_content("old").version
    before = datetime.now(UTC)
    outcome = publish_content("a")

    assert outcome.status == "published"
    version = outcome.version.path
    assert version.parent == serving
    assert newest_version(serving) == version
    published = files(version)
    del published["assets.extra/version.json"]
    assert published == files(make_model("a"))
    record = read_version_record(version)
    assert record is not None
    assert record == outcome.record
    assert record.version == version.name
    assert before <= record.published <= datetime.now(UTC)
    assert record.specification["name"] == "colours"
    assert record.data.fingerprint == "f" * 64
    assert record.submodels["vision"].digest == "ab" * 32
    assert record.metrics == {"colour": {"accuracy": 0.75}}
    assert record.gates.evaluation["thresholds"] == {
        "colour": {"accuracy": {"min": 0.5, "max": None}}
    }
    assert record.gates.champion == older.name
    assert record.model_digest == model_digest(make_model("a"))
    assert older.path.is_dir()


def test_the_statistics_of_its_data_go_with_a_version_and_do_not_make_it_another_model(
    make_model: Callable[[str], Path], provenance: Provenance, serving: Path, tmp_path: Path
) -> None:
    (tmp_path / "of.pb").write_bytes(b"statistics")
    model = make_model("a")

    outcome = publish(model, serving, provenance, {}, None, None, tmp_path / "of.pb")

    version = outcome.version.path
    assert (version / "assets.extra" / "statistics.pb").read_bytes() == b"statistics"
    assert model_digest(version) == model_digest(model)
    assert publish(model, serving, provenance, {}, None, None).status == "already published"


def test_a_version_that_is_copied_elsewhere_takes_its_version_record_along(
    publish_content: Publish, tmp_path: Path
) -> None:
    outcome = publish_content("a")

    shutil.copytree(outcome.version.path, tmp_path / "elsewhere" / "1")

    assert read_version_record(tmp_path / "elsewhere" / "1") == outcome.record


def test_a_version_can_be_read_by_whoever_can_read_the_model(
    publish_content: Publish, make_model: Callable[[str], Path]
) -> None:
    make_model("a").chmod(0o755)

    assert publish_content("a").version.path.stat().st_mode & 0o777 == 0o755


def test_numbers_are_times_and_rise_even_within_a_second(publish_content: Publish) -> None:
    numbers = [publish_content(content).version.number for content in "abc"]

    assert numbers == sorted(set(numbers))
    assert abs(numbers[0] - datetime.now(UTC).timestamp()) < 60


def test_an_unchanged_model_is_not_published_twice(
    publish_content: Publish, contents: Callable[[], dict[str, str]]
) -> None:
    first = publish_content("a")
    again = publish_content("a")

    assert (again.status, again.version) == ("already published", first.version)
    assert contents() == {"a": "live"}


def test_a_model_served_before_the_served_one_is_published_anew(
    publish_content: Publish, serving: Path
) -> None:
    first, _ = publish_content("a"), publish_content("b")
    back = publish_content("a")

    assert back.status == "published"
    assert newest_version(serving) == back.version.path != first.version.path


def test_what_a_run_has_published_it_does_not_publish_again(
    publish_content: Publish, serving: Path
) -> None:
    first, _ = publish_content("a", run="one"), publish_content("b", run="two")

    again = publish_content("a", run="one")

    assert (again.status, again.version.name) == ("already published", first.version.name)
    assert len(visible(serving)) == 2


def test_a_version_that_was_deleted_by_hand_is_published_anew(
    publish_content: Publish, serving: Path
) -> None:
    first = publish_content("a")
    shutil.rmtree(first.version.path)

    assert publish_content("a").status == "published"
    assert len(visible(serving)) == 1


def test_a_model_that_was_rolled_back_is_not_published_again(
    publish_content: Publish, serving: Path, contents: Callable[[], dict[str, str]]
) -> None:
    _, bad = publish_content("a"), publish_content("b")
    roll_back(serving, None)

    again = publish_content("b")

    assert (again.status, again.version.name) == ("rolled back", bad.version.name)
    assert contents() == {"a": "live", "b": "rolled back"}


def test_publishing_after_a_rollback_goes_on_with_a_higher_number(
    publish_content: Publish, serving: Path
) -> None:
    _, bad = publish_content("a"), publish_content("b")
    roll_back(serving, None)

    better = publish_content("c")

    assert better.version.number > bad.version.number
    assert newest_version(serving) == better.version.path


# ------------------------------------------------------------------------------- old versions


def test_only_the_newest_are_retained(
    publish_content: Publish, contents: Callable[[], dict[str, str]]
) -> None:
    for content in "abcd":
        publish_content(content, keep=2)

    assert contents() == {"c": "live", "d": "live"}


def test_all_are_retained_by_default(
    publish_content: Publish, contents: Callable[[], dict[str, str]]
) -> None:
    for content in "abcd":
        publish_content(content)

    assert list(contents()) == ["a", "b", "c", "d"]


def test_what_was_rolled_back_goes_first_and_what_was_rolled_back_to_stays(
    publish_content: Publish, serving: Path, contents: Callable[[], dict[str, str]]
) -> None:
    first = publish_content("a")
    publish_content("b")
    publish_content("c")
    roll_back(serving, first.version.name)

    publish_content("d", keep=2)
    assert contents() == {"a": "live", "d": "live"}
    publish_content("e", keep=2)
    assert contents() == {"d": "live", "e": "live"}


def test_what_was_rolled_back_to_stays_as_long_as_what_it_replaced(
    publish_content: Publish, serving: Path, contents: Callable[[], dict[str, str]]
) -> None:
    publish_content("a")
    good, _ = publish_content("b"), publish_content("c")
    roll_back(serving, good.version.name)

    publish_content("d", keep=1)

    assert contents() == {"b": "live", "d": "live"}


def test_what_others_put_into_the_folder_is_never_deleted(
    publish_content: Publish, make_model: Callable[[str], Path], serving: Path
) -> None:
    for number in ("3", "9999999999", "5.rolled-back"):
        shutil.copytree(make_model("foreign"), serving / number)
    for name in ("notes.txt", "17", "18/data.csv", ".registry/kept", ".registry/theirs/kept"):
        (serving / name).parent.mkdir(parents=True, exist_ok=True)
        (serving / name).write_text("theirs")
    theirs = files(serving)

    for content in "abc":
        newest = publish_content(content, keep=1).version.name

    assert theirs.items() <= files(serving).items()
    ours = [one for one in all_versions(serving) if read_version_record(one.path)]
    assert [one.name for one in ours] == [newest]
    assert int(newest) > 9999999999


def test_a_folder_that_is_itself_a_model_is_refused_and_left_as_it_is(
    make_model: Callable[[str], Path], provenance: Provenance
) -> None:
    model = make_model("a")
    before = files(model)
    for change in (
        lambda: publish(make_model("b"), model, provenance, {}, None, None),
        lambda: roll_back(model, None),
    ):
        with pytest.raises(RunError) as caught:
            change()
        assert str(caught.value) == (
            f"{model}: expected a folder of versions, found a SavedModel: name another folder; "
            f"of a version, {model.parent}"
        )
    assert files(model) == before
