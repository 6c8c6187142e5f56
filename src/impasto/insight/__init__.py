"""Judging pictures: how near to content and style they are, and what is in them that should not be."""

from impasto.insight.score import MEANINGS, Score, score

__all__ = ["MEANINGS", "Score", "score"]
