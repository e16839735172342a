"""`fusion schema`: the specification's JSON schema, for editors."""

from __future__ import annotations

import json

import click

from tfx_fusion.modules.spec import Specification


@click.command()
def schema() -> None:
    """Print the JSON schema of a specification, for completion and checks in an editor."""
    click.echo(json.dumps(Specification.model_json_schema(), indent=1))
