"""Where Beam runs the steps that run on it, and with which of its options."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator

from tfx_fusion.modules.spec.base import Count, Part

BeamStep = Literal["Rows", "Statistics", "Transform", "Embed", "Evaluate"]
RunnerName = Literal["in_memory", "multi_process", "auto", "flink", "spark", "dataflow"]
LOCAL: tuple[RunnerName, ...] = ("in_memory", "multi_process", "auto")

# Of each group one must be given: what Beam would ask for only when a step starts.
NEEDED: dict[RunnerName, tuple[tuple[str, ...], ...]] = {
    "flink": (("flink_master", "job_endpoint"), ("environment_type",)),
    "spark": (("spark_master_url", "spark_rest_url", "job_endpoint"), ("environment_type",)),
    "dataflow": (("project",), ("region",), ("temp_location",), ("sdk_container_image",)),
}
# Options by how they begin, and the runners that read them.
READ_BY: dict[str, tuple[RunnerName, ...]] = {
    "direct_": LOCAL,
    "flink_": ("flink",),
    "spark_": ("spark",),
    "dataflow_": ("dataflow",),
    "environment_": ("flink", "spark"),
    "job_endpoint": ("flink", "spark"),
    "sdk_container_image": ("dataflow",),
}
# Options that the specification has keys for.
HAVE_KEYS = {
    "runner": "the key 'runner'",
    "direct_running_mode": "runner: multi_process",
    "direct_num_workers": "the key 'workers'",
}
# In LOOPBACK the workers are threads of the process that submits; the others need an address.
ENVIRONMENTS = ("DOCKER", "EXTERNAL", "PROCESS", "LOOPBACK")
BUCKET = re.compile(r"gs://[a-z0-9][-_a-z0-9.]+[a-z0-9]/.*")


def _option(value: JsonValue) -> JsonValue:
    items = value if isinstance(value, list) else [value]
    flag = value is True  # as an item of a list it is none
    if not flag and any(
        isinstance(item, bool) or not isinstance(item, str | int | float) for item in items
    ):
        hint = ": omit a flag that is not set" if value is False else ""
        raise ValueError(
            f"expected a text, a number, true, or a list of texts or numbers, found {value!r}{hint}"
        )
    return value


OptionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Runner(Part):
    """A runner of Beam.

    `workers` are the processes of `multi_process`, one for each CPU unless given; `auto` takes them
    for what repays their start. `options` go to Beam under its own names, a flag as `true`.
    """

    runner: RunnerName = "in_memory"
    workers: Count | None = None
    options: dict[OptionName, Annotated[JsonValue, AfterValidator(_option)]] = {}

    @model_validator(mode="after")
    def _workers_are_processes(self) -> Runner:
        if self.workers is not None and self.runner not in ("multi_process", "auto"):
            hint = ": Beam calls them options.num_workers there" * (self.runner == "dataflow")
            raise ValueError(f"runner {self.runner} takes no 'workers'{hint}")
        return self

    @model_validator(mode="after")
    def _options_fit(self) -> Runner:
        for name in self.options:
            if name in HAVE_KEYS:
                raise ValueError(f"options.{name}: {HAVE_KEYS[name]} sets it; remove it")
            readers = next((who for start, who in READ_BY.items() if name.startswith(start)), None)
            if readers and self.runner not in readers:
                image = name == "sdk_container_image" and self.runner in ("flink", "spark")
                hint = "; write environment_type: DOCKER, environment_config: IMAGE" * image
                raise ValueError(
                    f"options.{name}: runner {self.runner} ignores it; it is for "
                    f"{' and '.join(readers)}{hint}"
                )
        return self

    @model_validator(mode="after")
    def _options_are_complete(self) -> Runner:
        for group in NEEDED.get(self.runner, ()):
            if not any(name in self.options for name in group):
                raise ValueError(
                    f"runner {self.runner} needs options.{' or '.join(group)}, "
                    f"found {', '.join(self.options) or 'no options'}"
                )
        return self

    @model_validator(mode="after")
    def _workers_have_a_place(self) -> Runner:
        kind = self.options.get("environment_type")
        if kind is None:
            return self
        if kind not in ENVIRONMENTS:
            raise ValueError(
                f"options.environment_type: expected {', '.join(ENVIRONMENTS)}, found {kind!r}"
            )
        if kind != "LOOPBACK" and not {"environment_config", "environment_options"} & {
            *self.options
        }:
            what = {"DOCKER": "the image that holds this project", "PROCESS": "the command"}
            raise ValueError(
                f"environment_type {kind} needs options.environment_config: "
                f"{what.get(str(kind), 'HOST:PORT of the worker pool')}"
            )
        return self

    @model_validator(mode="after")
    def _buckets(self) -> Runner:
        for name in ("temp_location", "staging_location"):
            place = self.options.get(name)
            if self.runner == "dataflow" and place is not None and not BUCKET.fullmatch(str(place)):
                raise ValueError(f"options.{name}: expected gs://BUCKET/FOLDER, found {place!r}")
        return self


def _by_name(value: Any) -> Any:
    return {"runner": value} if isinstance(value, str) else value


class Beam(Runner):
    """The runner of all steps on Beam, but for those that `steps` gives one of their own."""

    steps: dict[
        BeamStep,
        Annotated[Runner, BeforeValidator(_by_name, json_schema_input_type=RunnerName | Runner)],
    ] = {}

    def of(self, step: BeamStep) -> Runner:
        """The runner of a step."""
        return self.steps.get(step, self)


# A runner may also be written as just its name.
BeamChoice = Annotated[Beam, BeforeValidator(_by_name, json_schema_input_type=RunnerName | Beam)]
