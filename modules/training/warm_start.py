"""Warm start: what training may change begins with the values of the last published model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras

from tfx_fusion.modules.graph.build import FusedModel
from tfx_fusion.modules.training.frozen_proof import Digests
from tfx_fusion.modules.training.record import WarmStart
from tfx_fusion.modules.training.trained_values import (
    TRAINED_FILE,
    Trained,
    read_trained,
    trained_variables,
)

progress = logging.getLogger("fusion.progress")


@dataclass(frozen=True)
class Champion:
    """The version to start from, what was trained in it, and the candidate's own sub-models."""

    version: Path | None
    trained: Trained | None
    digests: Mapping[str, str]

    @classmethod
    def read(cls, version: Path | None, digests: Mapping[str, str]) -> Champion:
        """Raises RunError where the version's trained values are damaged."""
        return cls(version, read_trained(version) if version else None, digests)

    def start(self, fused: FusedModel, frozen: Digests) -> WarmStart:
        """Gives the champion's values to all that fits; what stays frozen is never touched."""
        outcome = self._start(fused, frozen)
        progress.info("warm start: %s", outcome)
        return outcome

    def _start(self, fused: FusedModel, frozen: Digests) -> WarmStart:
        version = str(self.version or "")
        if self.version is None:
            return WarmStart(champion=version, scratch="no model has been published yet")
        if self.trained is None:
            reason = f"an older layout without {TRAINED_FILE} was published last"
            return WarmStart(champion=version, scratch=reason)
        taken, anew = [], {}
        for name, variable in trained_variables(fused, frozen).items():
            reason = self._misfit(name, variable, self.trained)
            if reason:
                anew[name] = reason
                progress.info("warm start: %s is not taken: %s", name, reason)
            else:
                variable.assign(self.trained.values[name])
                taken.append(name)
        return WarmStart(champion=version, taken=taken, anew=anew)

    def _misfit(self, name: str, variable: keras.Variable, trained: Trained) -> str:
        """The reason why the champion's value cannot be taken; empty where it can."""
        if name not in trained.values:
            return "the champion has not trained it"
        kind, owner, *_ = name.split("/")
        if kind == "submodels" and trained.digests.get(owner) != self.digests[owner]:
            found = trained.digests.get(owner, "none")[:12]
            return (
                f"the champion was made from another file of {owner} "
                f"(digest {found}, now {self.digests[owner][:12]})"
            )
        shape, wanted = trained.values[name].shape, tuple(variable.shape)
        if shape != wanted:
            return f"the champion's is {_text(shape)}, here it is {_text(wanted)}"
        return ""


def _text(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
