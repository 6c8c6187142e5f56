"""The same jobs and the same pictures on many machines: Ray runs them, this room only tells it what there is to do.

It needs the extra: pip install 'impasto[cluster]'.
"""

from __future__ import annotations

from impasto.distributed.connection import LOCAL, Cluster, ClusterError, connected

__all__ = ["LOCAL", "Cluster", "ClusterError", "connected"]
