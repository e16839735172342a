"""Which of the folders in a publish folder are versions, and which is the newest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.registry.versions import newest_version


def publish(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "saved_model.pb").touch()


def test_the_newest_version_is_the_greatest_number_not_the_last_name(tmp_path: Path) -> None:
    publish(tmp_path, "9", "10", "1")

    assert newest_version(tmp_path) == tmp_path / "10"


def test_what_tf_serving_would_not_serve_is_no_version(tmp_path: Path) -> None:
    publish(tmp_path, "3", "latest", "7.tmp", "-8")
    (tmp_path / "9").mkdir()  # publishing was killed before the model was there
    (tmp_path / "10").write_text("a file")

    assert newest_version(tmp_path) == tmp_path / "3"


@pytest.mark.parametrize("folder", ["", "not there", "file"])
def test_where_nothing_is_published_there_is_no_version(folder: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert newest_version(tmp_path / folder) is None


# ------------------------------------------------- what `fusion predict` makes of a folder's name


def test_a_folder_to_predict_with_is_a_version_or_holds_some(tmp_path: Path) -> None:
    from tfx_fusion.modules.registry.versions import find_version

    publish(tmp_path, "1", "2")

    assert find_version(tmp_path) == tmp_path / "2"
    assert find_version(tmp_path / "1") == tmp_path / "1"
    with pytest.raises(RunError, match="no such folder; give a publish folder or one of its ver"):
        find_version(tmp_path / "none")
    (tmp_path / "empty" / "3").mkdir(parents=True)
    with pytest.raises(RunError, match="expected version folders as TF Serving reads them, found"):
        find_version(tmp_path / "empty")
