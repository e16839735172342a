"""`fusion versions`, `rollback` and `lineage` on a publish folder: what they print and refuse."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.registry.publish import current_champion, publish
from tfx_fusion.modules.registry.version_record import (
    VERSION_RECORD_FILE,
    DataSource,
    Provenance,
    Source,
)
from tfx_fusion.modules.registry.versions import newest_version
from tfx_fusion.pipeline.commands.lineage import lineage
from tfx_fusion.pipeline.commands.rollback import rollback
from tfx_fusion.pipeline.commands.versions import versions
from tfx_fusion.pipeline.published import open_published

DIGESTS = ("ab" * 32, "cd" * 32)


@pytest.fixture
def published(write_specification: Callable[..., Path]) -> tuple[Path, list[str]]:
    """A specification whose publish folder holds three versions: the file, and their numbers.

    The first holds another vision model than the others.
    """
    file = write_specification()
    names = []
    for number in range(3):
        model = file.parent / "model" / str(number)
        model.mkdir(parents=True)
        (model / "saved_model.pb").write_text(str(number))
        provenance = Provenance(
            run=f"run {number}",
            specification={"name": "colours", "evaluation": {"thresholds": {}}},
            data=DataSource(path="data/rows.csv", fingerprint="f" * 64),
            submodels={"vision": Source(digest=DIGESTS[number > 0], origin=f"vision {number}")},
        )
        metrics = {"colour": {"accuracy": number / 4, "example_count": 9.0}}
        serving = file.parent / "serving"
        outcome = publish(model, serving, provenance, metrics, current_champion(serving), None)
        names.append(outcome.version.name)
    return file, names


def invoke(command: Any, *arguments: object) -> Result:
    done = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if isinstance(done.exception, RunError):
        raise done.exception
    return done


def rows(done: Result) -> list[list[str]]:
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("place", ["the file", "the folder"])
def test_versions_are_listed_newest_first_with_what_is_known_of_them(
    place: str, published: tuple[Path, list[str]]
) -> None:
    file, names = published

    done = invoke(versions, file if place == "the file" else file.parent / "serving")

    header, *lines = rows(done)
    assert header == ["version", "status", "published", "metrics", "sub-models"]
    assert [line[0] for line in lines] == names[::-1]
    assert [line[1] for line in lines] == ["served", "retained", "retained"]
    assert lines[0][4:] == ["colour.accuracy", "0.5000", "vision", DIGESTS[1][:12]]
    assert lines[2][4:] == ["colour.accuracy", "0.0000", "vision", DIGESTS[0][:12]]


def test_versions_without_a_published_one(
    write_specification: Callable[..., Path],
) -> None:
    file = write_specification()

    done = invoke(versions, file)

    assert (done.exit_code, done.stdout) == (
        0,
        f"nothing has been published to {file.parent / 'serving'} yet\n",
    )


def test_a_program_is_given_the_same_versions_and_what_each_was_made_from(
    published: tuple[Path, list[str]],
) -> None:
    file, names = published

    opened = open_published(file)

    assert [one.name for one in opened.versions] == names[::-1]
    assert [one.status for one in opened.versions] == ["served", "retained", "retained"]
    assert [one.record and one.record.run for one in opened.versions] == ["run 2", "run 1", "run 0"]
    assert opened.lineage().version == names[2]
    assert opened.lineage(int(names[0])).submodels["vision"].origin == "vision 0"
    assert open_published(file.parent / "serving" / names[1]).lineage().run == "run 1"
    for name in names:
        path = file.parent / "serving" / name
        path.rename(path.with_name(f"{name}.rolled-back"))
    assert {one.status for one in opened.versions} == {"rolled back"}
    with pytest.raises(RunError, match="expected version folders as TF Serving reads them, found"):
        opened.lineage()


def test_a_damaged_version_record_hides_no_version(published: tuple[Path, list[str]]) -> None:
    file, names = published
    damaged = file.parent / "serving" / names[1] / VERSION_RECORD_FILE
    damaged.write_text("{")
    (file.parent / "serving" / names[0] / VERSION_RECORD_FILE).unlink()

    done = invoke(versions, file)

    assert [line[:5] for line in rows(done)[2:4]] == [
        [names[1], "retained", "version", "record", "damaged"],
        [names[0], "retained", "no", "version", "record"],
    ]
    assert f"{damaged}: the version record is damaged (Invalid JSON" in done.stdout


def test_rollback_says_what_is_served_and_how_to_go_forward(
    published: tuple[Path, list[str]],
) -> None:
    file, names = published
    serving = file.parent / "serving"

    done = invoke(rollback, file, names[0])

    assert newest_version(serving) == serving / names[0]
    assert done.stdout.splitlines() == [
        f"served {serving / names[0]}",
        f"rolled back {names[1]}: `fusion rollback {file} {names[1]}` serves it again",
        f"rolled back {names[2]}: `fusion rollback {file} {names[2]}` serves it again",
    ]
    assert [line[1:3] for line in rows(invoke(versions, file))[1:3]] == [["rolled", "back"]] * 2
    assert invoke(rollback, file, names[2]).stdout == f"served {serving / names[2]}\n"


def test_rollback_to_an_unknown_version_names_the_nearest(
    published: tuple[Path, list[str]],
) -> None:
    file, names = published

    with pytest.raises(RunError, match=f"has no version '1{names[2]}'; did you mean '{names[2]}'"):
        invoke(rollback, file, f"1{names[2]}")


# ------------------------------------------------------------------- lineage without ML Metadata


def test_lineage_is_read_from_version_records_where_ml_metadata_is_missing(
    published: tuple[Path, list[str]],
) -> None:
    file, names = published

    done = invoke(lineage, file, names[1])

    text = " ".join(done.stdout.split())
    assert f"version {names[1]}, retained" in text
    assert f"data data/rows.csv fingerprint {'f' * 64}" in text
    assert f"sub-model vision vision 1 digest {DIGESTS[1]}" in text
    assert "metrics colour.accuracy 0.2500" in text
    assert "recorded in version record" in text
    assert "specification: evaluation: thresholds: {} name: colours" in text
    missing = file.parent / "runs" / "metadata.sqlite"
    assert done.stdout.splitlines()[-1] == (
        f"ML Metadata is missing: {missing}: no such file; read from the version records only"
    )
    assert not missing.exists()


def test_a_damaged_ml_metadata_is_reported_and_the_version_records_are_read(
    published: tuple[Path, list[str]],
) -> None:
    file, names = published
    damaged = file.parent / "runs" / "metadata.sqlite"
    damaged.parent.mkdir()
    damaged.write_text("no database" * 100)

    done = invoke(lineage, file, names[1])

    assert "recorded in" in done.stdout
    assert f"ML Metadata cannot be read: {damaged}: " in done.stdout
    assert damaged.read_text() == "no database" * 100


@pytest.mark.parametrize("beginning", [DIGESTS[1], "CDC", "c"])
def test_the_versions_that_hold_a_submodel_are_found_by_the_beginning_of_its_digest(
    beginning: str, published: tuple[Path, list[str]]
) -> None:
    file, names = published
    invoke(rollback, file, names[1])

    done = invoke(lineage, file.parent / "serving", "--submodel", beginning)

    _, newest, served, *note = rows(done)
    assert newest[:3] == [names[2], "rolled", "back"]
    assert served[:2] == [names[1], "served"]
    assert served[4:] == ["vision", DIGESTS[1][:12], "vision", "1", "version", "record"]
    assert " ".join(note[0]) == (
        "ML Metadata is found by the specification file, and a folder was given; read from the "
        "version records only"
    )


def test_versions_of_which_nothing_is_known_are_named_beside_those_that_hold_a_submodel(
    published: tuple[Path, list[str]],
) -> None:
    file, names = published
    (file.parent / "serving" / names[2] / VERSION_RECORD_FILE).unlink()

    done = invoke(lineage, file, "--submodel", DIGESTS[1])

    assert rows(done)[1][0] == names[1]
    assert (
        f"version {names[2]}: its origin is in neither ML Metadata nor a version record\n"
        in done.stdout
    )


def test_a_submodel_that_is_not_found_may_be_where_nothing_is_known(
    published: tuple[Path, list[str]],
) -> None:
    file, names = published
    (file.parent / "serving" / names[0] / VERSION_RECORD_FILE).unlink()

    with pytest.raises(RunError) as caught:
        invoke(lineage, file, "--submodel", DIGESTS[0])

    problem, unknown = str(caught.value).splitlines()
    assert problem.startswith("no recorded version has a sub-model whose digest begins with 'aba")
    assert unknown == (
        f"version {names[0]}: its origin is in neither ML Metadata nor a version record"
    )


def test_an_unknown_submodel_or_version_names_the_nearest(
    published: tuple[Path, list[str]],
) -> None:
    file, names = published

    with pytest.raises(RunError, match="digest begins with 'cdcdcdcdcdce'; did you mean 'cdcdcdcd"):
        invoke(lineage, file, "--submodel", "cdcdcdcdcdce")
    # Versions that were published within seconds are equally near.
    near = "|".join(names)
    with pytest.raises(RunError, match=f"no version '{names[0]}0'; did you mean '({near})'"):
        invoke(lineage, file, f"{names[0]}0")


@pytest.mark.parametrize("arguments", [[], ["1", "--submodel", "ab"]])
def test_lineage_takes_either_a_version_or_a_submodel(
    arguments: list[str], published: tuple[Path, list[str]]
) -> None:
    done = invoke(lineage, published[0], *arguments)

    assert done.exit_code == 2
    assert "give either a VERSION or --submodel DIGEST" in done.output
