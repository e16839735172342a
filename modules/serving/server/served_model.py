"""The version that is served: the newest, loaded before the one before it is freed."""

import asyncio
import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
from tensorflow_serving.apis import get_model_status_pb2

from tfx_fusion.modules.errors import RunError, first_line
from tfx_fusion.modules.registry.versions import holds_model, newest_version
from tfx_fusion.modules.serving.server.errors import RequestError, as_request_error
from tfx_fusion.modules.serving.server.servable import Servable

POLL_SECONDS = 1.0
State = get_model_status_pb2.ModelVersionStatus.State
log = logging.getLogger("fusion.serving")


@dataclass
class Status:
    """The state of a version, as ModelService reports it."""

    state: int
    error: RequestError | None = None


class ServedModel:
    """The versions of one model in a publish folder; to be used within one event loop."""

    def __init__(self, name: str, folder: Path, on_load: Callable[[int, bool], None]) -> None:
        """`on_load` is called with each version that was loaded, and whether it succeeded."""
        self.name = name
        self._folder, self._on_load = folder, on_load
        self._current: Servable | None = None
        self._statuses: dict[int, Status] = {}
        self._failed: tuple[Path, float] | None = None

    @property
    def available(self) -> bool:
        """Whether a version answers."""
        return self._current is not None

    def servable(self, name: str, version: int | None) -> Servable:
        """The version that a request names, or the newest.

        It stays usable for a request in progress when another version takes its place.
        Raises RequestError where it is not loaded.
        """
        found = self._current
        if name != self.name or found is None or version not in (None, found.version):
            wanted = "the newest version" if version is None else f"version {version}"
            raise RequestError(
                grpc.StatusCode.NOT_FOUND,
                f"{wanted} of the model '{name}' is not served; served is "
                + (f"version {found.version} of '{self.name}'" if found else "nothing yet"),
            )
        return found

    def statuses(self, name: str, version: int | None) -> dict[int, Status]:
        """The states of all versions seen so far, or of one of them."""
        if name != self.name:
            raise RequestError(
                grpc.StatusCode.NOT_FOUND, f"no model '{name}'; served is '{self.name}'"
            )
        if version is None:
            return dict(self._statuses)
        if version not in self._statuses:
            raise RequestError(
                grpc.StatusCode.NOT_FOUND, f"no version {version} of '{name}' was seen"
            )
        return {version: self._statuses[version]}

    async def start(self) -> None:
        """Loads the newest version. Raises RunError where there is none, or it cannot be loaded."""
        if holds_model(self._folder):
            raise RunError(
                f"{self._folder} is one version: give the publish folder, {self._folder.parent}"
            )
        tried: Path | None = None
        # Again where another version was published, or this one rolled back, meanwhile.
        while not self.available and (path := newest_version(self._folder)) != tried:
            if path is None:
                break
            tried = path
            await self._load(path)
        if tried is None:
            raise RunError(f"{self._folder}: expected version folders, found none: publish first")
        if not self.available:
            error = self._statuses[int(tried.name)].error
            raise RunError(f"{tried}: the model cannot be loaded: {error}")

    async def watch(self) -> None:
        """Follows the folder until it is cancelled.

        A version that cannot be loaded is not tried again unless its files change, and one that is
        served stays so while there is no other.
        """
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                path = await asyncio.to_thread(newest_version, self._folder)
                if path is not None and self._is_new(path):
                    await self._load(path)
            except OSError as error:  # a folder taken away while it was looked at
                log.warning("%s: %s", self._folder, error)

    def _is_new(self, path: Path) -> bool:
        served = self._current is not None and self._current.version == int(path.name)
        return not served and self._failed != (path, _changed(path))

    async def _load(self, path: Path) -> None:
        version, changed = int(path.name), _changed(path)
        self._statuses[version] = Status(State.LOADING)
        log.info("version %s: loading", version)
        try:
            loaded = await asyncio.to_thread(Servable, path)
        except Exception as error:  # TensorFlow raises many types here
            self._failed = path, changed
            self._statuses[version] = Status(State.END, as_request_error(error))
            self._on_load(version, False)
            log.error("version %s: cannot be loaded: %s", version, first_line(error))
            return
        old, self._current = self._current, loaded
        self._statuses[version] = Status(State.AVAILABLE)
        self._on_load(version, True)
        log.info("version %s: available", version)
        if old is not None:
            self._statuses[old.version] = Status(State.END)
            log.info("version %s: unloaded", old.version)
            del old
            # What TensorFlow loads has reference cycles.
            await asyncio.to_thread(gc.collect)


def _changed(path: Path) -> float:
    try:
        return (path / "saved_model.pb").stat().st_mtime
    except FileNotFoundError:  # rolled back or removed just now
        return 0.0
