"""A `.keras` file comes from outside: what could run code or is damaged is refused unread."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.submodels.stored_config import (
    CONFIG,
    WEIGHTS,
    check_classes,
    check_names,
    read_config,
)


def save_model(path: Path, *inner: keras.layers.Layer) -> Path:
    entry = keras.Input((2,), name="entry")
    tensor = keras.layers.Dense(2, name="first")(entry)
    for layer in inner:
        tensor = layer(tensor)
    keras.Model(entry, tensor, name="small").save(path)
    return path


def save_with_entries(
    path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def entries_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def damage(path: Path, entry: str) -> Path:
    """Flips bits in the middle of an entry's content."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(entry)
    raw = bytearray(path.read_bytes())
    middle = info.header_offset + 30 + len(info.filename) + info.compress_size // 2
    raw[middle : middle + 40] = bytes(byte ^ 0xFF for byte in raw[middle : middle + 40])
    path.write_bytes(raw)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_config(path)
    return str(caught.value)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return save_model(tmp_path / "good.keras")


def test_a_good_file_gives_its_architecture(good: Path) -> None:
    config = read_config(good)

    assert config["class_name"] == "Functional"
    assert [layer["config"]["name"] for layer in config["config"]["layers"]] == ["entry", "first"]


def test_a_good_file_that_was_zipped_again_with_compression_passes(
    good: Path, tmp_path: Path
) -> None:
    again = save_with_entries(tmp_path / "again.keras", entries_of(good), zipfile.ZIP_DEFLATED)

    assert read_config(again) == read_config(good)


def test_a_lambda_layer_is_refused_by_its_name(tmp_path: Path) -> None:
    path = save_model(
        tmp_path / "code.keras", keras.layers.Lambda(lambda tensor: tensor * 2, name="doubled")
    )

    assert refusal(path) == (
        f"{path}: layer 'doubled' holds code (Lambda), which could do anything when loaded: "
        "replace it by a layer of Keras and save the model again"
    )


def in_functional(hidden: keras.layers.Layer) -> keras.Model:
    entry = keras.Input((2,))
    inner_entry = keras.Input((2,))
    return keras.Model(entry, keras.Model(inner_entry, hidden(inner_entry), name="inner")(entry))


def in_sequential(hidden: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), hidden])


def in_wrapper(hidden: keras.layers.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((3, 2)), keras.layers.TimeDistributed(hidden)])


@pytest.mark.parametrize("wrap", [in_functional, in_sequential, in_wrapper])
def test_a_lambda_layer_is_found_however_deep_it_hides(
    wrap: Callable[[keras.layers.Layer], keras.Model], tmp_path: Path
) -> None:
    path = tmp_path / "code.keras"
    wrap(keras.layers.Lambda(lambda tensor: tensor + 1, name="hidden")).save(path)

    assert f"{path}: layer 'hidden' holds code (Lambda)" in refusal(path)


@pytest.mark.parametrize(
    "entry", ["../evil.py", "assets/../../evil.py", "/etc/evil", "..\\evil.py", "\\evil"]
)
def test_an_entry_that_climbs_out_of_the_archive_is_refused_by_its_name(
    entry: str, good: Path, tmp_path: Path
) -> None:
    path = save_with_entries(tmp_path / "evil.keras", {**entries_of(good), entry: b"x"})

    assert refusal(path) == f"{path}: the entry '{entry}' climbs out of the archive"


def test_an_entry_whose_name_merely_holds_two_dots_passes(good: Path, tmp_path: Path) -> None:
    entries = {**entries_of(good), "assets/words..txt": b"x"}

    assert read_config(save_with_entries(tmp_path / "dots.keras", entries))


@pytest.mark.parametrize("missing", [CONFIG, WEIGHTS])
def test_a_missing_part_is_named(missing: str, good: Path, tmp_path: Path) -> None:
    entries = {name: content for name, content in entries_of(good).items() if name != missing}
    path = save_with_entries(tmp_path / "half.keras", entries)

    assert refusal(path) == f"{path}: expected a .keras file, found no {missing} in it"


@pytest.mark.parametrize(
    ("entry", "size"), [(CONFIG, 65 << 20), (WEIGHTS, 257 << 20)], ids=["architecture", "weights"]
)
def test_a_small_file_that_unpacks_to_a_huge_one_is_refused_unread(
    entry: str, size: int, good: Path, tmp_path: Path
) -> None:
    entries = {**entries_of(good), entry: b" " * size}
    path = save_with_entries(tmp_path / "bomb.keras", entries, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20

    assert f" bytes in the file and {size:,} out of it, expected at most " in refusal(path)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_refused(share: float, good: Path) -> None:
    whole = good.read_bytes()
    good.write_bytes(whole[: int(len(whole) * share)])

    assert refusal(good).startswith(f"{good}: expected a .keras file, found a damaged one: ")


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.keras"
    path.write_text("weights, honestly")

    assert refusal(path).startswith(f"{path}: expected a .keras file, found a damaged one: ")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_flipped_bits_in_the_weights_are_reported_with_the_entry(
    compression: int, good: Path, tmp_path: Path
) -> None:
    path = save_with_entries(tmp_path / "flipped.keras", entries_of(good), compression)

    message = refusal(damage(path, WEIGHTS))

    assert message.startswith(f"{path}: ")
    assert "damaged" in message


@pytest.mark.parametrize(
    "config",
    [b"not JSON", b"\xff\xfe\x00", b"[" * 100_000],
    ids=["not JSON", "not text", "nested without end"],
)
def test_a_config_that_is_no_json_is_refused(config: bytes, good: Path, tmp_path: Path) -> None:
    path = save_with_entries(tmp_path / "odd.keras", {**entries_of(good), CONFIG: config})

    assert refusal(path).startswith(f"{path}: expected a .keras file, found a damaged one: ")


def test_an_archive_with_a_password_is_refused(good: Path) -> None:
    raw = bytearray(good.read_bytes())
    with zipfile.ZipFile(good) as archive:
        starts = [entry.header_offset for entry in archive.infolist()]
    # The flag "encrypted" of each entry, in front of its content and in the directory at the end.
    for start in starts:
        raw[start + 6] |= 1
    place = raw.find(b"PK\x01\x02")
    while place != -1:
        raw[place + 8] |= 1
        place = raw.find(b"PK\x01\x02", place + 4)
    good.write_bytes(raw)

    message = refusal(good)

    assert message.startswith(f"{good}: expected a .keras file, found ")
    assert "password" in message


def stored(module: str, name: str, **more: Any) -> dict[str, Any]:
    return {"module": module, "class_name": name, "config": {}, **more}


def function(module: str, name: str) -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


@pytest.mark.parametrize(
    "found",
    [
        function("keras.utils", "plot_model"),
        function("keras", "utils.plot_model"),
        function("keras.config", "set_floatx"),
        function("keras.datasets.mnist", "load_data"),
        function("keras.activations", "deserialize"),
        stored("keras.callbacks", "CSVLogger"),
        stored("keras.saving", "KerasFileEditor"),
        stored("keras.utils", "get_file", registered_name="get_file"),
    ],
    ids=lambda found: f"{found['module']}.{found['config'] or found['class_name']}",
)
@pytest.mark.parametrize("place", ["argument", "inner", "compiled"])
def test_a_name_of_keras_that_is_no_part_of_a_model_is_refused(
    found: dict[str, Any], place: str
) -> None:
    """Keras itself looks up and calls whatever it exports."""
    layer = stored("keras.layers", "Activation")
    layer["config"]["activation"] = found
    config = {
        "argument": stored("keras", "Functional", deeper=[layer]),
        "inner": stored("keras.layers", "TimeDistributed", deeper={"layer": found}),
        "compiled": stored("keras", "Functional", deeper=[{**layer, "compile_config": found}]),
    }[place]

    with pytest.raises(UserError, match="which is no layer or other part of a model of Keras's"):
        check_names("model.keras", config)


def test_what_a_model_was_compiled_with_is_not_loaded_and_may_be_anything() -> None:
    config = stored("keras", "Functional", compile_config={"loss": stored("my.losses", "Own")})

    check_classes(Path("model.keras"), config, {})


@pytest.mark.parametrize(
    "found",
    [
        stored("keras.layers", "Layer", registered_name="tfx_fusion>KerasGraph"),
        function("keras.activations", "tfx_fusion>anything"),
    ],
    ids=["class", "function"],
)
def test_a_registered_name_goes_before_the_module_as_in_keras(found: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="which is not Keras's own"):
        check_classes(Path("model.keras"), stored("keras", "Model", deeper=found), {})


@pytest.mark.parametrize("key", ["vocabulary", "merges", "proto"])
def test_a_name_of_a_file_to_open_is_refused(key: str) -> None:
    config = stored("keras.layers", "StringLookup")
    config["config"][key] = "/etc/passwd"

    with pytest.raises(UserError, match=f"it names a file to open \\({key}: /etc/passwd\\)"):
        check_names("model.keras", config)


def test_every_layer_activation_and_initializer_of_keras_is_part_of_a_model() -> None:
    entry = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(
        2,
        2,
        activation=keras.ops.relu,
        kernel_initializer=keras.initializers.HeNormal(),
        kernel_regularizer=keras.regularizers.L2(0.1),
        bias_constraint=keras.constraints.NonNeg(),
        dtype=keras.DTypePolicy("mixed_bfloat16"),
    )(entry)
    x = keras.ops.mean(keras.activations.gelu(x) + 1.0, axis=(1, 2))
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="swish")])
    inner.compile("adam", keras.losses.MeanSquaredError(), metrics=[keras.metrics.AUC()])
    model = keras.Model(entry, keras.layers.Dense(1, activation=keras.activations.tanh)(inner(x)))
    model.quantize("int8")

    check_classes(Path("model.keras"), keras.saving.serialize_keras_object(model), {})
