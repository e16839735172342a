"""Imported sub-models as layers, for whoever builds a graph of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tfx_fusion.modules.spec import Graph
from tfx_fusion.modules.submodels.copy import copied_submodel
from tfx_fusion.modules.submodels.interface import Interface, OpenSubmodel
from tfx_fusion.modules.submodels.layer import SubmodelLayer


def opener(graph: Graph, folders: Mapping[str, Path]) -> OpenSubmodel:
    """For `build`: opens the sub-models of a graph from the folders of their imported copies."""

    def open_submodel(name: str, interface: Interface, taps: list[str]) -> SubmodelLayer:
        submodel = graph.submodels[name]
        path = copied_submodel(folders[name])
        return SubmodelLayer(path, taps, submodel.signature, name, submodel.custom_objects)

    return open_submodel
