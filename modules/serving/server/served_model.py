"""The version that is served: the newest, loaded before the one before it is freed."""

import asyncio
import gc
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
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

    def __init__(
        self,
        name: str,
        folder: Path,
        on_load: Callable[[int, bool], None],
        labels: Mapping[str, int] | None = None,
    ) -> None:
        """
        Args:
            name: the model's for clients.
            folder: the publish folder.
            on_load: called with each version that was loaded, and whether it succeeded.
            labels: versions that are served beside the newest, by a name for clients.
        """
        self.name = name
        self._labels = dict(labels or {})
        self._labelled: dict[int, Servable] = {}
        self._folder, self._on_load = folder, on_load
        self._current: Servable | None = None
        self._statuses: dict[int, Status] = {}
        self._failed: tuple[Path, str] | None = None

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
        if name == self.name and found is not None:
            if version in (None, found.version):
                return found
            if version in self._labelled:
                return self._labelled[version]
        asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        served = sorted({*self._labelled, *([found.version] if found else [])})
        raise RequestError(
            grpc.StatusCode.NOT_FOUND,
            f"Servable not found for request: {asked}; "  # TF Serving's words
            f"'{self.name}' has {', '.join(map(str, served)) or 'no version yet'}",
        )

    def version_of(self, label: str) -> int:
        """The version that has a label. Raises RequestError where none has it."""
        if label not in self._labels:
            raise RequestError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"Unrecognized servable version label: {label}; "
                f"there are {', '.join(sorted(self._labels)) or 'none'}",
            )
        return self._labels[label]

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
        for label, version in self._labels.items():
            await self._load_labelled(label, version)

    async def _load_labelled(self, label: str, version: int) -> None:
        path = self._folder / str(version)
        if self._current and version == self._current.version:
            return  # kept below, when a newer one takes its place
        if not holds_model(path):
            raise RunError(f"--label {label}={version}: {self._folder} has no version {version}")
        try:
            self._labelled[version] = await asyncio.to_thread(Servable, path)
        except Exception as error:  # TensorFlow raises many types here
            raise RunError(f"{path}: the model cannot be loaded: {first_line(error)}") from error
        self._statuses[version] = Status(State.AVAILABLE)

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
        if old is not None and old.version in self._labels.values():
            self._labelled[old.version] = old
        elif old is not None:
            self._statuses[old.version] = Status(State.END)
            log.info("version %s: unloaded", old.version)
            del old
            # What TensorFlow loads has reference cycles.
            await asyncio.to_thread(gc.collect)


def _changed(path: Path) -> str:
    """The state of all files of a version: one that is copied in place grows file by file."""
    states = []
    with suppress(OSError):  # rolled back or removed just now
        for file in sorted(path.rglob("*")):
            found = file.stat()
            states.append(f"{file.relative_to(path)} {found.st_size} {found.st_mtime_ns}")
    return "\n".join(states)
