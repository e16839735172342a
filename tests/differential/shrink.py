"""Makes a failing case smaller while it fails alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.differential.case import FLOAT, Case, source
from tests.differential.compare import CRASHED, REFUSED, Result, compare

Change = Callable[[Case], None]


def shrink(case: Case, result: Result, most: int = 120) -> tuple[Case, Result]:
    """The smallest case that was found to fail as a given one does, greedily.

    Args:
        case: one that fails.
        result: how it fails.
        most: how many smaller cases to try.
    """
    tried: set[str] = {case.text()}
    progress = True
    while progress:
        progress = False
        for change in _changes(case):
            smaller = case.copy()
            change(smaller)
            try:
                smaller = smaller.without_unused()
            except KeyError:
                continue  # something refers to what was dropped
            if smaller.text() in tried or not smaller.outputs:
                continue
            if most == 0:
                return case, result
            most -= 1
            tried.add(smaller.text())
            found = compare(smaller)
            if _alike(result, found):
                case, result, progress = smaller, found, True
                break
    return case, result


def _alike(one: Result, other: Result) -> bool:
    if one.status != other.status:
        return False
    if one.status == CRASHED:
        # Where it was raised, in the project's own code.
        return one.detail[:12] == other.detail[:12] and one.detail[-24:] == other.detail[-24:]
    if one.status == REFUSED:
        return one.detail.split(": ")[-1][:20] == other.detail.split(": ")[-1][:20]
    return one.level.split(",")[0] == other.level.split(",")[0]


def _changes(case: Case) -> Iterator[Change]:
    """Every way to make a case smaller by one step, the largest steps first."""
    for name in case.outputs:
        if len(case.outputs) > 1:
            yield _of("outputs", name)
    for level in case.levels:
        yield lambda c, x=level: c.levels.remove(x)
    for name in (*case.submodels, *case.nodes):
        yield from _bypasses(case, name)
    for position in range(len(case.training["stages"]) - 1, 0, -1):
        yield lambda c, x=position: c.training["stages"].pop(x)
    for name, node in case.nodes.items():
        for reference in node["inputs"] if "merge" in node and len(node["inputs"]) > 2 else ():
            yield lambda c, n=name, r=reference: c.nodes[n]["inputs"].remove(r)
        for position in range(len(node.get("layers", ())) - 1):
            yield lambda c, n=name, p=position: c.nodes[n]["layers"].pop(p)
    for name, submodel in case.submodels.items():
        if "same_as" not in submodel:
            yield from _within(case, name)
    for name, feature in case.features.items():
        for key in ("missing", "zero_step"):
            if feature.get(key):
                yield lambda c, n=name, k=key: c.features[n].pop(k)
        if "drop" in (feature.get("missing") or {}):
            yield lambda c, n=name: c.features[n]["missing"].pop("drop")
    yield lambda c: c.training.update(precision=FLOAT)
    for key in ("kill", "warm_start"):
        if key in case.training:
            yield lambda c, k=key: c.training.pop(k)
    for name, output in case.outputs.items():
        for key in ("weight", "class_weights", "row_weights"):
            if key in output:
                yield lambda c, n=name, k=key: c.outputs[n].pop(k)
        if output["metrics"]:
            yield lambda c, n=name: c.outputs[n].update(metrics=[])
        if output["label"]["type"] != "number":
            yield lambda c, n=name: _as_number(c, n)
    for position, stage in enumerate(case.training["stages"]):
        for key in ("clip_norm", "early_stopping"):
            if key in stage:
                yield lambda c, p=position, k=key: c.training["stages"][p].pop(k)
        for name in stage.get("unfreeze", {}):
            if stage["unfreeze"][name] != {"all": True}:
                yield lambda c, p=position, n=name: c.training["stages"][p]["unfreeze"].update(
                    {n: {"all": True}}
                )
        if stage["epochs"] > 1:
            yield lambda c, p=position: c.training["stages"][p].update(epochs=1)


def _of(part: str, name: str) -> Change:
    return lambda c: getattr(c, part).pop(name)


def _as_number(case: Case, name: str) -> None:
    """Learns a number in place of classes."""
    output = case.outputs[name]
    output["label"], output["loss"], output["metrics"] = {"type": "number"}, "huber", []
    output.pop("class_weights", None)
    last = case.nodes[source(output["from"])]["layers"][-1]
    last["Dense"] = {"units": 1}


def _bypasses(case: Case, name: str) -> Iterator[Change]:
    """Leaves out a sub-model or node: what takes it takes one of its inputs."""
    if any(source(output["from"]) == name for output in case.outputs.values()):
        return
    for given in dict.fromkeys(case.inputs_of(name)):

        def change(c: Case, given: str = given) -> None:
            for submodel in c.submodels.values():
                for entry in submodel["inputs"].values():
                    if source(entry["from"]) == name:
                        entry["from"] = given
            for node in c.nodes.values():
                taken = node["inputs"]
                if isinstance(taken, str):
                    node["inputs"] = given if source(taken) == name else taken
                else:
                    replaced = [given if source(r) == name else r for r in taken]
                    node["inputs"] = list(dict.fromkeys(replaced))
            for node in c.nodes.values():
                if "merge" in node and len(node["inputs"]) == 1:
                    del node["merge"]
                    node.pop("config", None)
                    node["inputs"] = node["inputs"][0]
                    node["layers"] = [{"Activation": {"activation": "linear"}}]

        yield change


def _within(case: Case, name: str) -> Iterator[Change]:
    submodel = case.submodels[name]
    for key in ("quantize", "lora", "dict_inputs", "shared"):
        if submodel.get(key):
            yield lambda c, k=key: c.submodels[name].update({k: False})
    if submodel["policy"] != FLOAT:
        yield lambda c: c.submodels[name].update(policy=FLOAT)
    if submodel["structure"] in ("list", "dict", "nested"):
        yield lambda c: c.submodels[name].update(structure="single")
    if submodel["form"] in ("nested", "export"):
        yield lambda c: c.submodels[name].update(form="functional")
    for entry, given in submodel["inputs"].items():
        if len(submodel["inputs"]) > 1:
            yield lambda c, e=entry: _drop_entry(c, name, e)
        if given.get("dtype") == "float16":
            yield lambda c, e=entry: c.submodels[name]["inputs"][e].update(dtype=FLOAT)
        for position in range(len(given["chain"])):
            yield lambda c, e=entry, p=position: _drop_layer(c, name, e, p)
    for position in range(len(submodel["tail"])):
        yield lambda c, p=position: c.submodels[name]["tail"].pop(p)


def _drop_entry(case: Case, name: str, entry: str) -> None:
    del case.submodels[name]["inputs"][entry]
    case.submodels[name].update(join="none", shared=False)


def _drop_layer(case: Case, name: str, entry: str, position: int) -> None:
    given = case.submodels[name]["inputs"]
    # A shared chain stands in every entry.
    for known in given if case.submodels[name].get("shared") else [entry]:
        if position < len(given[known]["chain"]):
            given[known]["chain"] = [
                item for place, item in enumerate(given[known]["chain"]) if place != position
            ]
