"""Jobs and tiles on a Ray cluster. Needs the extra: pip install 'impasto[cluster]'."""

from __future__ import annotations

from impasto.distributed.connection import LOCAL, Cluster, ClusterError
from impasto.distributed.driver import Driver

__all__ = ["LOCAL", "Cluster", "ClusterError", "Driver"]
