"""Observations -> edge statistics: kernel (torch), merge, engine."""

from __future__ import annotations

from atlas.aggregate.engine import Aggregator, Summary

__all__ = ["Aggregator", "Summary"]
