"""The database of the runs' metadata: checked before a run, and freed of what killed runs left."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2 as proto
from tfx.orchestration.metadata import sqlite_metadata_connection_config

from tfx_fusion.modules.files import set_aside
from tfx_fusion.pipeline.prepare import Workplace

UNFINISHED = (proto.Execution.NEW, proto.Execution.RUNNING)


def check_metadata(place: Workplace) -> None:
    """Sets a damaged database aside, so that the run goes on with a new one."""
    if place.metadata.is_file() and (reason := _damage(place.metadata)):
        set_aside(place.metadata, reason, "the steps run again, with the same results")


def _damage(file: Path) -> str:
    """What is damaged in a database; empty where nothing is."""
    if not file.stat().st_size:
        return "it is empty"
    try:
        with closing(sqlite3.connect(file)) as database:
            found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:
        return ""  # the disk is full or read-only, which the run itself reports
    except sqlite3.DatabaseError as error:
        found = str(error)
    return "" if found == "ok" else " ".join(found.split())


def cancel_unfinished(place: Workplace) -> None:
    """Cancels the executions of runs that were killed, and deletes what they had written.

    Only while no run goes on there.
    """
    if not place.metadata.is_file():
        return
    config = sqlite_metadata_connection_config(str(place.metadata))
    store = mlmd.MetadataStore(config)
    left = [one for one in store.get_executions() if one.last_known_state in UNFINISHED]
    for execution in left:
        for pattern in (f"*/*/{execution.id}", f"*/.system/*/{execution.id}"):
            for folder in place.artifacts.glob(pattern):
                shutil.rmtree(folder, ignore_errors=True)
        execution.last_known_state = proto.Execution.CANCELED
    if left:
        store.put_executions(left)
