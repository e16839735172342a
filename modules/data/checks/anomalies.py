"""What ExampleValidator found in the data against the schema that the specification implies."""

from pathlib import Path

from tensorflow_metadata.proto.v0 import anomalies_pb2


def anomalies(folder: Path) -> list[str]:
    """One line each, with the split and the feature."""
    found = []
    for file in sorted(folder.glob("Split-*/SchemaDiff.pb")):
        proto = anomalies_pb2.Anomalies.FromString(file.read_bytes())
        split = file.parent.name.removeprefix("Split-")
        found += [
            f"{split}: {name}: {info.description}"
            for name, info in sorted(proto.anomaly_info.items())
        ]
    return found
