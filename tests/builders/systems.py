"""Marks of tests that run on one system only."""

import sys

import pytest

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, limits, modes or messages of Linux")
