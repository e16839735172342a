"""The specification of a fusion: its types, its reading from YAML, its checks."""

from tfx_fusion.modules.spec.base import data_file_format
from tfx_fusion.modules.spec.beam import Beam, BeamStep, Runner
from tfx_fusion.modules.spec.card import Card
from tfx_fusion.modules.spec.data_checks import DataChecks
from tfx_fusion.modules.spec.evaluation import Bounds, Evaluation, SliceThreshold, Threshold, Worth
from tfx_fusion.modules.spec.feature_part import Missing
from tfx_fusion.modules.spec.features import (
    TOKENS,
    CategoryFeature,
    CategoryLabel,
    Feature,
    ImageFeature,
    Label,
    MultiLabel,
    NumberFeature,
    NumberLabel,
    RawFeature,
    SequenceFeature,
    TextFeature,
    columns_of,
    drifting,
    length_name,
    may_be_missing,
    media_columns,
    missing_name,
    stored,
    stored_columns,
    variable_sequences,
    weighted_labels,
    weights_name,
)
from tfx_fusion.modules.spec.kubeflow import Kubeflow, StepResources, Volume
from tfx_fusion.modules.spec.load import (
    ReadSpecification,
    SpecificationFile,
    load_fusion,
    load_specification,
    read_specification,
    read_tree,
    validate_tree,
)
from tfx_fusion.modules.spec.logged import Direction, direction_of, logged, logged_as, logged_twice
from tfx_fusion.modules.spec.specification import (
    ColumnSplit,
    Data,
    Fusion,
    Graph,
    HashSplit,
    Layers,
    Merge,
    Output,
    Publish,
    Serving,
    Specification,
    Stage,
    Training,
    Unfreeze,
)
from tfx_fusion.modules.spec.submodel import Submodel
from tfx_fusion.modules.spec.tuning import Choice, Range, Tuning
