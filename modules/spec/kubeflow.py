"""How a specification runs on Kubeflow Pipelines: image, volumes, and each step's resources."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from tfx_fusion.modules.spec.base import Count, LocalFolder, Part, PositiveNumber, Whole

# Names of Kubernetes objects: RFC 1123 subdomains.
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Memory = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?([kMGT]|[KMGT]i)?$")]


def _absolute(path: PurePosixPath) -> PurePosixPath:
    if not path.is_absolute() or path == PurePosixPath("/"):
        raise ValueError(f"expected an absolute path below /, found '{path}'")
    return path


MountPath = Annotated[PurePosixPath, AfterValidator(_absolute)]


class Volume(Part):
    """A persistent volume claim, mounted in the containers of steps.

    `folder` is a folder of this machine whose content is on the claim: a path of the specification
    below it is the same path below `mount` in a container.
    """

    claim: ObjectName
    mount: MountPath
    folder: LocalFolder | None = None

    def container_path(self, path: Path) -> Path | None:
        """A path of this machine as a container sees it; None where it is not on the claim."""
        if path.is_relative_to(self.mount):
            return path
        if self.folder is not None and path.is_relative_to(self.folder):
            return Path(self.mount, path.relative_to(self.folder))
        return None


class SecretKey(Part):
    """One value of a Kubernetes secret."""

    secret: ObjectName
    key: Annotated[str, Field(min_length=1)]


class Accelerator(Part):
    """`type` is the name of the resource that a Kubernetes node offers."""

    type: Annotated[str, Field(min_length=1)] = "nvidia.com/gpu"
    count: Count = 1


class StepResources(Part):
    """What the container of a step gets: CPUs, memory as Kubernetes writes it (`4Gi`), and so on.

    `secrets` are variables of the environment, filled from Kubernetes secrets.
    """

    cpu: PositiveNumber | None = None
    memory: Memory | None = None
    accelerator: Accelerator | None = None
    retries: Whole | None = None
    env: dict[VariableName, str] = {}
    secrets: dict[VariableName, SecretKey] = {}
    node_selector: dict[str, str] = {}
    volumes: tuple[Volume, ...] = ()


class Kubeflow(StepResources):
    """The image that holds the project, and the resources of every step unless `steps` differs.

    `checkpoints` is a folder on a volume where training saves its state, to resume after a retry.
    """

    image: Annotated[str, Field(pattern=r"^[^\s]+$")]
    checkpoints: MountPath | None = None
    steps: dict[str, StepResources] = {}

    @field_validator("volumes")
    @classmethod
    def _distinct_mounts(cls, volumes: tuple[Volume, ...]) -> tuple[Volume, ...]:
        mounts = [volume.mount for volume in volumes]
        twice = sorted({str(mount) for mount in mounts if mounts.count(mount) > 1})
        if twice:
            raise ValueError(f"two volumes cannot be mounted at one path, found {twice[0]} twice")
        return volumes

    def of_step(self, step: str) -> StepResources:
        """The resources of a step: its own values before those of all steps."""
        own = self.steps.get(step, StepResources())
        return StepResources(
            cpu=own.cpu or self.cpu,
            memory=own.memory or self.memory,
            accelerator=own.accelerator or self.accelerator,
            retries=self.retries if own.retries is None else own.retries,
            env={**self.env, **own.env},
            secrets={**self.secrets, **own.secrets},
            node_selector={**self.node_selector, **own.node_selector},
            volumes=(*self.volumes, *own.volumes),
        )

    def all_secrets(self) -> Iterator[tuple[str, SecretKey]]:
        """Every secret that a step reads, with its key in the specification."""
        for name, secret in self.secrets.items():
            yield f"kubeflow.secrets.{name}", secret
        for step, own in self.steps.items():
            for name, secret in own.secrets.items():
                yield f"kubeflow.steps.{step}.secrets.{name}", secret

    def all_volumes(self) -> Iterator[tuple[str, Volume]]:
        """Every volume that is mounted, with its key in the specification."""
        for position, volume in enumerate(self.volumes):
            yield f"kubeflow.volumes.{position}", volume
        for step, own in self.steps.items():
            for position, volume in enumerate(own.volumes):
                yield f"kubeflow.steps.{step}.volumes.{position}", volume
