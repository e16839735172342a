"""The pipeline on a cluster: compiled for Kubeflow Pipelines 2, submitted, monitored, served."""

from importlib.util import find_spec

from tfx_fusion.modules.errors import UserError

# What the extra `kubeflow` installs, by import name.
PACKAGES = ("kfp", "kfp_server_api", "kubernetes")


def require_packages() -> None:
    """Raises UserError unless the packages of the extra `kubeflow` are installed."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise UserError(
            f"this command needs {', '.join(missing)}: pip install 'tfx-fusion[kubeflow]'"
        )
