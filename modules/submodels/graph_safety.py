"""Check of a SavedModel's graph before anything of it is loaded: it comes from outside."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeAlias

from google.protobuf.message import DecodeError
from tensorflow.core.framework import attr_value_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow.python.framework import op_def_registry

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.submodels.safe_operations import SAFE, SAVER

GRAPH = "saved_model.pb"
ASSETS_KEY = "saved_model_assets"
# Where `tf.print` may write to. Any other text is the name of a file.
STREAMS = (b"", b"stdout", b"stderr", b"log(info)", b"log(warning)", b"log(error)")
FROM_FILE = ("InitializeTableFromTextFile", "InitializeTableFromTextFileV2")

Node: TypeAlias = Any  # a NodeDef, of which TensorFlow has no types
Argument = tuple[str, int]  # a function and which of its arguments


def check_saved_model(path: Path, allow: Collection[str] = ()) -> set[str]:
    """Reads a SavedModel's graph, runs nothing of it, and returns its operations.

    Args:
        path: the folder.
        allow: operations that are allowed beside those of `safe_operations`.

    Raises UserError where the graph cannot be read, has an operation that is not known to be safe,
    in whatever function, or reads a file that is not in the folder; and where a link in the folder
    leads out of it.
    """
    check_links(path)
    stored = _read(path)
    operations: set[str] = set()
    unsafe: dict[str, str] = {}  # a node of each unsafe operation
    for meta_graph in stored.meta_graphs:
        _check_assets(path, meta_graph)
        functions = _Functions(path, meta_graph)
        for node, owner in functions.nodes():
            saver = SAVER if functions.is_of_the_saver(node, owner) else frozenset()
            _check_stream(path, node)
            if node.op not in SAFE | saver | set(allow):
                unsafe.setdefault(node.op, node.name)
            if node.op in FROM_FILE and not functions.is_asset(node.input[1], owner):
                raise UserError(
                    f"{path}: the graph's node '{node.name}' fills a table from a file that is not "
                    f"one of the model's own assets, which could be any file of this machine: "
                    "export the model again with its vocabulary as an asset"
                )
            operations.add(node.op)
        # TensorFlow restores any other by itself, and calls nothing that the graph has for it.
        if len(stored.meta_graphs) > 1 or not meta_graph.HasField("object_graph_def"):
            _check_restore(path, meta_graph)
    if unsafe:
        found = ", ".join(f"{operation} (node '{node}')" for operation, node in unsafe.items())
        raise UserError(
            f"{path}: expected operations that are known to be safe, found {found}: export the "
            "model again without them, or, if you trust the model with your files and your "
            f"machine, write allow_ops: [{', '.join(unsafe)}]"
        )
    return operations


def _read(path: Path) -> saved_model_pb2.SavedModel:
    graph = saved_model_pb2.SavedModel()
    try:
        graph.ParseFromString((path / GRAPH).read_bytes())
    except (DecodeError, OSError) as error:
        raise UserError(
            f"{path}: expected a SavedModel, its {GRAPH} is damaged: {error}"
        ) from error
    if not graph.meta_graphs:
        raise UserError(f"{path}: expected a SavedModel, its {GRAPH} is empty")
    return graph


def check_links(path: Path) -> None:
    """Raises UserError where a link in a folder leads out of it."""
    root = path.resolve()
    for found in path.rglob("*"):
        if found.is_symlink() and not found.resolve().is_relative_to(root):
            raise UserError(
                f"{found}: expected the model's own file, found a link to {found.resolve()}: copy "
                "the folder with the files in place of its links (cp -rL)"
            )


def _check_assets(path: Path, meta_graph: meta_graph_pb2.MetaGraphDef) -> None:
    assets = list(meta_graph.asset_file_def)
    for packed in meta_graph.collection_def[ASSETS_KEY].any_list.value:  # of TensorFlow 1
        assets.append(meta_graph_pb2.AssetFileDef.FromString(packed.value))
    for asset in assets:
        place = PurePosixPath(asset.filename.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or not place.parts:
            raise UserError(
                f"{path}: expected assets in the model's own folder, found '{asset.filename}': "
                "export the model again"
            )


def _check_stream(path: Path, node: Node) -> None:
    if node.attr["output_stream"].s not in STREAMS:
        raise UserError(
            f"{path}: the graph's node '{node.name}' prints to "
            f"{node.attr['output_stream'].s.decode(errors='replace')}: export the model again "
            "without it"
        )


def _check_restore(path: Path, meta_graph: meta_graph_pb2.MetaGraphDef) -> None:
    """Raises UserError for a saver of TensorFlow 1 that restores other files than the model's."""
    file = _name(meta_graph.saver_def.filename_tensor_name)
    for node in _ancestors(meta_graph, [meta_graph.saver_def.restore_op_name]):
        calls = node.attr["f"].func.name
        if (
            node.op in SAVER - {"RestoreV2"}
            or calls
            or (node.op == "RestoreV2" and _name(node.input[0]) != file)
        ):
            raise UserError(
                f"{path}: the graph's node '{node.name}' ({node.op}) restores the variables from "
                "another place than the model's own folder: export the model again"
            )


class _Function(NamedTuple):
    nodes: dict[str, Node]
    arguments: list[str]


class _Functions:
    """The functions of a graph, and who calls them."""

    def __init__(self, path: Path, meta_graph: meta_graph_pb2.MetaGraphDef) -> None:
        self._meta_graph = meta_graph
        library = meta_graph.graph_def.library.function
        _check_names(path, [function.signature.name for function in library])
        for owned in [meta_graph.graph_def.node, *(function.node_def for function in library)]:
            _check_names(path, [node.name for node in owned])
        self._functions = {
            function.signature.name: _Function(
                {node.name: node for node in function.node_def},
                [argument.name for argument in function.signature.input_arg],
            )
            for function in library
        }
        for name in self._functions:
            if op_def_registry.get(name) is not None:
                raise UserError(
                    f"{path}: a function of the graph has the name of the operation {name}, so "
                    "that it is not clear which of them a node calls: export the model again"
                )
        # The graph itself is the function of no name.
        self._functions[""] = _Function({n.name: n for n in meta_graph.graph_def.node}, [])
        self._callers: dict[str, list[tuple[str, Node]]] = defaultdict(list)
        for owner, function in self._functions.items():
            for node in function.nodes.values():
                for called in self._called(node):
                    self._callers[called].append((owner, node))
        self._assets = {_name(a.tensor_info.name) for a in meta_graph.asset_file_def}
        self._saver_nodes, self._saver_functions = self._saver()

    def nodes(self) -> Iterator[tuple[Node, str]]:
        """Every node that is no call of a function by its name, with the function it stands in."""
        for owner, function in self._functions.items():
            for node in function.nodes.values():
                if node.op not in self._functions:
                    yield node, owner

    def is_of_the_saver(self, node: Node, owner: str) -> bool:
        """Whether nothing but saving and restoring the variables needs a node."""
        return owner in self._saver_functions if owner else node.name in self._saver_nodes

    def is_asset(self, tensor: str, owner: str, seen: frozenset[Argument] = frozenset()) -> bool:
        """Whether a tensor in a function is the name of an asset, whoever calls the function."""
        function, name = self._functions[owner], _name(tensor)
        while name in function.nodes and function.nodes[name].op == "Identity":
            name = _name(function.nodes[name].input[0])
        if not owner:
            return name in self._assets or self._is_asset_variable(name)
        if name not in function.arguments:
            return False
        place = function.arguments.index(name)
        if (owner, place) in seen:
            return False
        seen |= {(owner, place)}
        bound, callers = self._is_bound_to_asset(owner, place), self._callers[owner]
        return (
            bound is not False
            and bool(bound or callers)
            and all(
                node.attr["f"].func.name == owner and self.is_asset(node.input[place], caller, seen)
                for caller, node in callers
            )
        )

    def _is_asset_variable(self, read: str) -> bool:
        """Whether a node reads a variable that holds an asset's name and nothing else, ever."""
        graph = self._functions[""].nodes
        if read not in graph or graph[read].op != "ReadVariableOp":
            return False
        variable = _name(graph[read].input[0])
        uses = [node for node in graph.values() if variable in map(_name, node.input)]
        return all(
            node.op in ("ReadVariableOp", "VarIsInitializedOp")
            or (node.op == "AssignVariableOp" and _name(node.input[1]) in self._assets)
            for node in uses
        )

    def _is_bound_to_asset(self, function: str, place: int) -> bool | None:
        """Whether the object graph gives an argument an asset; None where it calls it not."""
        objects = self._meta_graph.object_graph_def
        if function not in objects.concrete_functions:
            return None
        bound = objects.concrete_functions[function].bound_inputs
        # What a function captured comes behind what it is called with.
        first = len(self._functions[function].arguments) - len(bound)
        return place >= first and objects.nodes[bound[place - first]].WhichOneof("kind") == "asset"

    def _called(self, node: Node) -> set[str]:
        """The functions that a node names, as its operation or in an attribute."""
        return ({node.op} | _functions_in(node.attr)) & self._functions.keys() - {""}

    def _reached(self, nodes: Iterable[Node]) -> set[str]:
        found: set[str] = set()
        waiting = list(nodes)
        while waiting:
            for name in self._called(waiting.pop()) - found:
                found.add(name)
                waiting += self._functions[name].nodes.values()
        return found

    def _saver(self) -> tuple[set[str], set[str]]:
        """The names of the saver's nodes in the graph, and of the functions that only it calls."""
        saver, graph = self._meta_graph.saver_def, self._functions[""].nodes
        ends = [saver.save_tensor_name, saver.restore_op_name]
        nodes = {node.name: node for node in _ancestors(self._meta_graph, ends)}
        answers = _ancestors(self._meta_graph, self._run_tensors())
        nodes = {name: nodes[name] for name in nodes.keys() - {node.name for node in answers}}
        others = [node for name, node in graph.items() if name not in nodes]
        functions = self._reached(nodes.values())
        for name in self._meta_graph.object_graph_def.concrete_functions:
            others += self._functions[name].nodes.values() if name in self._functions else []
            functions.discard(name)
        others += [
            node
            for name, function in self._functions.items()
            if name and name not in functions
            for node in function.nodes.values()
        ]
        return set(nodes), functions - self._reached(others)

    def _run_tensors(self) -> list[str]:
        """What signatures give, and what is run when a model is loaded."""
        signatures = self._meta_graph.signature_def.values()
        given = [output.name for s in signatures for output in s.outputs.values()]
        collections = self._meta_graph.collection_def.values()
        return given + [name for c in collections for name in c.node_list.value]


def _functions_in(attributes: Mapping[str, attr_value_pb2.AttrValue]) -> set[str]:
    """The functions that attributes name, however deep."""
    found: set[str] = set()
    for value in attributes.values():
        for func in [value.func, *value.list.func]:
            if func.name:
                found |= {func.name} | _functions_in(func.attr)
    return found


def _check_names(path: Path, names: Iterable[str]) -> None:
    """Raises UserError for a name that stands twice: one could be checked and the other called."""
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(
                f"{path}: expected a SavedModel, its graph has the name '{name}' {count} times: "
                "export the model again"
            )


def _ancestors(meta_graph: meta_graph_pb2.MetaGraphDef, tensors: Iterable[str]) -> list[Node]:
    """The nodes of the graph itself that some tensors or operations come from, with their own."""
    graph = {node.name: node for node in meta_graph.graph_def.node}
    found: dict[str, Node] = {}
    waiting = [_name(tensor) for tensor in tensors]
    while waiting:
        name = waiting.pop()
        if name in graph and name not in found:
            found[name] = graph[name]
            waiting += [_name(tensor) for tensor in graph[name].input]
    return list(found.values())


def _name(tensor: str) -> str:
    """The node that a tensor comes from: `^node`, `node:0` and `node:output:0` name it."""
    return tensor.removeprefix("^").split(":")[0]
