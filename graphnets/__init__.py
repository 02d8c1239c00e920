"""Graph neural networks on human movement."""

from graphnets.skeleton import Skeleton
from graphnets.spec import Configurable
from graphnets.version import __version__

__all__ = ["Configurable", "Skeleton", "__version__"]
