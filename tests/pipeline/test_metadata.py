"""The database of metadata: damaged, gone, or with executions of runs that were killed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tfx_fusion.pipeline.prepare import Workplace

pytestmark = pytest.mark.component


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """A folder of runs with two executions, one of which was killed, and what they wrote."""
    import ml_metadata as mlmd
    from ml_metadata.proto import metadata_store_pb2 as proto
    from tfx.orchestration.metadata import sqlite_metadata_connection_config

    place = Workplace.of(tmp_path / "fusion.yaml")
    place.folder.mkdir()
    config = sqlite_metadata_connection_config(str(place.metadata))
    store = mlmd.MetadataStore(config)
    kind = store.put_execution_type(proto.ExecutionType(name="Train"))
    for state in (proto.Execution.COMPLETE, proto.Execution.RUNNING):
        [number] = store.put_executions([proto.Execution(type_id=kind, last_known_state=state)])
        for folder in ("model", ".system/executor_execution"):
            (place.artifacts / "Train" / folder / str(number)).mkdir(parents=True)
    return place


def folders(place: Workplace) -> list[str]:
    found = (place.artifacts / "Train").rglob("[0-9]")
    return sorted(str(path.relative_to(place.artifacts)) for path in found)


def test_what_killed_executions_wrote_is_deleted_and_they_are_cancelled(place: Workplace) -> None:
    from tfx_fusion.pipeline.metadata import cancel_unfinished

    for _ in range(2):
        cancel_unfinished(place)

        assert folders(place) == ["Train/.system/executor_execution/1", "Train/model/1"]
        with sqlite3.connect(place.metadata) as database:
            states = database.execute("SELECT last_known_state FROM Execution ORDER BY id")
            assert states.fetchall() == [(3,), (6,)]  # COMPLETE and CANCELED


@pytest.mark.parametrize("damage", ["cut", "no database", "empty"])
def test_a_damaged_database_is_set_aside_and_named(
    damage: str, place: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    from tfx_fusion.pipeline.metadata import check_metadata

    check_metadata(place)
    assert caplog.messages == []
    content = place.metadata.read_bytes()
    half = content[: len(content) // 2]
    place.metadata.write_bytes({"cut": half, "empty": b""}.get(damage, b"rows" * 5000))

    check_metadata(place)

    names = sorted(path.name for path in place.folder.iterdir())
    assert names == ["artifacts", "metadata.sqlite.damaged"]
    [message] = caplog.messages
    assert message.startswith(f"{place.metadata} is damaged (")
    assert message.endswith("; the steps run again, with the same results")
