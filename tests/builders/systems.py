"""Marks of tests that other systems cannot run."""

import sys

import pytest

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, limits, modes or messages of Linux")
