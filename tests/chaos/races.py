"""Publishes, rollbacks and readers at once on one publish folder, of which some are killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.registry.changes import LOCK, OWN_FOLDER
from tfx_fusion.modules.registry.publish import current_champion, publish
from tfx_fusion.modules.registry.rollback import roll_back
from tfx_fusion.modules.registry.version_record import (
    DataSource,
    Provenance,
    model_digest,
    read_version_record,
)
from tfx_fusion.modules.registry.versions import all_versions, newest_version

WORKERS, KILLED, ACTIONS, MODELS = 4, 2, 6, 5
LONGEST = 0.3  # seconds until a worker is killed
HALF, FAILED = 99, 1
FORK = multiprocessing.get_context("fork")


def make_models(folder: Path) -> list[Path]:
    """Folders laid out as SavedModels, large enough to be killed in the copy of one."""
    models = []
    for number in range(MODELS):
        models.append(folder / f"model {number}")
        for name in ("saved_model.pb", "variables/variables.index", "variables/variables.data"):
            file = models[-1] / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(random.Random(number).randbytes(200_000))
    return models


def race(serving: Path, models: list[Path], seed: int) -> Iterator[str]:
    """Lets workers loose on a publish folder, kills some; what is not as it must be afterwards."""
    draw = random.Random(seed)
    workers = [
        FORK.Process(target=_work, args=(serving, models, draw.randrange(1 << 30)))
        for _ in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    for worker in workers[:KILLED]:
        time.sleep(draw.uniform(0, LONGEST))
        worker.kill()
    for worker in workers:
        worker.join(60)
        if worker.exitcode == HALF:
            yield "a reader found a version that is not whole"
        elif worker.exitcode not in (0, -9):
            yield f"a worker ended with {worker.exitcode}"
    model = serving.parent / f"last of {seed}"
    shutil.copytree(models[0], model)
    (model / "saved_model.pb").write_text(str(seed))
    last = publish(model, serving, _provenance(), {}, current_champion(serving), None)
    if last.status != "published":
        yield f"the last model is {last.status}"
    left = [path.name for path in (serving / OWN_FOLDER).iterdir() if path.name != LOCK]
    yield from (f"left: {name}" for name in left)
    for version in all_versions(serving):
        record = read_version_record(version.path)
        if record is None or record.model_digest != model_digest(version.path):
            yield f"not whole: {version.path}"


def _provenance() -> Provenance:
    return Provenance(
        run=f"{os.getpid()} {time.monotonic_ns()}", specification={"evaluation": {}},
        data=DataSource(path="", fingerprint=""), submodels={},
    )  # fmt: skip


def _work(serving: Path, models: list[Path], seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(ACTIONS):
        action = draw.choice(("publish", "publish", "roll back", "roll forward", "read"))
        try:
            if action == "publish":
                keep = draw.choice((None, 3))
                publish(
                    draw.choice(models), serving, _provenance(), {}, current_champion(serving), keep
                )
            elif action == "roll back":
                roll_back(serving, None)
            elif action == "roll forward":
                roll_back(serving, draw.choice(all_versions(serving)).name)
            elif (version := newest_version(serving)) is not None:
                _read(version)
        except (RunError, FileNotFoundError, IndexError):
            pass  # refused, or another one was faster


def _read(version: Path) -> None:
    """Ends the process where a served version is not whole; it may be taken away meanwhile."""
    record, digest = read_version_record(version), model_digest(version)
    if record is not None and record.model_digest != digest and (version / "variables").is_dir():
        os._exit(HALF)
