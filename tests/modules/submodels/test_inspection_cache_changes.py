"""A sub-model that changes while it is read, and is put back, is neither used nor remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Submodel, load_specification
from tfx_fusion.modules.submodels import inspection_cache
from tfx_fusion.modules.submodels.inspection_cache import InspectionCache


def sizes_and_times(file: Path) -> tuple[int, int]:
    """What can be set of a file, so that it may be the same of another one."""
    state = file.stat()
    return state.st_size, state.st_mtime_ns


@pytest.mark.parametrize("made", [False, True], ids=["named", "made-of-it"])
def test_files_that_were_swapped_while_they_were_read(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: bool
) -> None:
    specification = load_specification(world / "fusion.yaml")
    source = world / "models" / "vision.keras"
    submodel = specification.submodels["vision"]
    if made:
        source = source.rename(world / "models" / "vision.weights.h5")
        submodel = Submodel(application="MobileNetV2", weights=str(source), inputs=submodel.inputs)
    specification = specification.model_copy(update={"submodels": {"vision": submodel}})

    def swap(submodels: dict[str, Any]) -> dict[str, Any]:
        """Reads another file in the place of the given one."""
        [(_, path)] = submodels.values()
        source.rename(tmp_path / "aside")
        source.write_bytes(b"another model")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"made of another model")
        source.unlink()
        (tmp_path / "aside").rename(source)
        return {"vision": {"problems": ["path: it is damaged"]}}

    monkeypatch.setattr(inspection_cache, "_read_in_process", swap)
    before = sizes_and_times(source)

    with pytest.raises(SpecificationError) as caught:
        InspectionCache(tmp_path / "known").inspect(specification, lambda _: None)

    assert sizes_and_times(source) == before
    key = "weights" if made else "path"
    assert caught.value.problems == [
        f"submodels.vision.{key}: {source}: it changed while it was read: run again"
    ]
    assert not [*(tmp_path / "known").glob("*")]
