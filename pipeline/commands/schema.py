"""`fusion schema`: the JSON schema of a specification, or of a run's record."""

import json

import click


@click.command()
@click.argument("what", type=click.Choice(["specification", "run"]), default="specification")
def schema(what: str) -> None:
    """Print a JSON schema: of the specification, or with `run` of the run.json of a run.

    The specification's is for completion and checks in an editor.
    """
    click.echo(json.dumps(run_schema() if what == "run" else specification_schema(), indent=1))


def specification_schema() -> dict[str, object]:
    """What a specification may hold."""
    from tfx_fusion.modules.spec import Specification

    return Specification.model_json_schema()


def run_schema() -> dict[str, object]:
    """What `run.json` holds, the texts of summaries included."""
    from tfx_fusion.modules.report.record import RunRecord

    return RunRecord.model_json_schema(mode="serialization")
