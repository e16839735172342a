"""Disturbances around the publish folder: other runs, publishes, rollbacks and servers."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.chaos.forks import Child, fusion
from tests.chaos.kinds import Kind, nothing
from tfx_fusion.modules.registry.publish import current_champion, publish
from tfx_fusion.modules.registry.rollback import roll_back
from tfx_fusion.modules.registry.version_record import DataSource, Provenance
from tfx_fusion.modules.registry.versions import newest_version

CHANGED = "the champion changed during the run"
INSTANCES = {"instances": [[0.0, 0.0], [3.5, -2.25], [1e6, -1e-6]]}
SERVED_SECONDS = 60.0
ANSWERED = "answered"


class AnotherRun(Kind):
    """A second run is started in the same folder."""

    name = "another run at once"

    def act(self, run: Child, world: Path) -> Callable[[], None]:
        self._second = fusion(world, "run", "fusion.yaml")
        self._code = self._second.wait()
        return nothing

    def problems(self, code: int, text: str, world: Path) -> Iterator[str]:
        yield from super().problems(code, text, world)
        if code != 0:
            yield f"ended with {code}: {text[-2000:]}"
        if self._code != 0 and "another run is going on" not in self._second.text:
            yield f"the second ended with {self._code}: {self._second.text[-2000:]}"


class AnotherChampion(Kind):
    """Another model is published to the same folder during the run."""

    name = "another champion published"

    def act(self, run: Child, world: Path) -> Callable[[], None]:
        publish_another(world)
        return nothing

    def problems(self, code: int, text: str, world: Path) -> Iterator[str]:
        yield from super().problems(code, text, world)
        if code != 0 and (code != 1 or CHANGED not in text):
            yield f"ended with {code}: {text[-2000:]}"


class RolledBack(AnotherChampion):
    """Two other models are published, and the newer one is rolled back, during the run."""

    name = "another champion rolled back"

    def act(self, run: Child, world: Path) -> Callable[[], None]:
        publish_another(world)
        publish_another(world)
        roll_back(world / "serving", None)
        return nothing


class LiveServer(Kind):
    """A server answers during the run, what it publishes, a rollback and the way back."""

    name = "a live server"

    @contextmanager
    def around(self, world: Path, step: str) -> Iterator[None]:
        serving = world / "serving"
        publish_another(world)
        server = fusion(world, "serve", "serving", "--grpc-port", "0", "--rest-port", "0")
        ready = next((line for line in server.lines if line.startswith("serving ")), "")
        url = f"http://{ready.rpartition(' ')[2]}/v1/models/small"
        client = Child(world, lambda: print_differences(f"{url}:predict"))
        try:
            yield
            newest = _wait_for_newest(url, serving)
            roll_back(serving, None)
            _wait_for_newest(url, serving)
            roll_back(serving, newest)
            _wait_for_newest(url, serving)
        finally:
            for child in (client, server):
                child.kill()
                child.wait()
        self._found = client.text

    def problems(self, code: int, text: str, world: Path) -> Iterator[str]:
        yield from super().problems(code, text, world)
        if code != 0:
            yield f"ended with {code}: {text[-2000:]}"
        if self._found.strip() != ANSWERED:
            yield f"the client found {self._found or 'no answer'}"


def print_differences(url: str) -> None:
    """Asks for the same until the answer differs; all versions have the same weights."""
    first = requests.post(url, json=INSTANCES, timeout=60).json()
    print(ANSWERED if "predictions" in first else first, flush=True)
    while (found := requests.post(url, json=INSTANCES, timeout=60).json()) == first:
        time.sleep(0.05)
    print(f"{found} after {first}", flush=True)


def _wait_for_newest(url: str, serving: Path) -> str:
    """Waits until a server has changed over to the newest version, whose name it returns."""
    version = newest_version(serving)
    assert version is not None
    end = time.monotonic() + SERVED_SECONDS
    while time.monotonic() < end:
        found = requests.get(url, timeout=60).json()["model_version_status"]
        states = {one["version"]: one["state"] for one in found}
        if states.get(version.name) == "AVAILABLE":
            return version.name
        time.sleep(0.1)
    raise TimeoutError(f"{states}, expected {version.name}")


def publish_another(world: Path) -> None:
    """Publishes the trained model once more, as if another run had made it."""
    model = Path(tempfile.mkdtemp(dir=world.parent))
    trained = next(world.glob("runs/artifacts/Train/model/*/Format-Serving"))
    shutil.copytree(trained, model, dirs_exist_ok=True)
    (model / "fingerprint.pb").write_bytes(os.urandom(8))  # of another model
    serving = world / "serving"
    provenance = Provenance(
        run="another", specification={"evaluation": {}}, submodels={},
        data=DataSource(path="", fingerprint=""),
    )  # fmt: skip
    publish(model, serving, provenance, {}, current_champion(serving), None)
    shutil.rmtree(model)
