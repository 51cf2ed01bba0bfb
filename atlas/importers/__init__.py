"""Importers: read files of other tools as streams and write stage folders. The registry lists every kind once."""

from __future__ import annotations

from atlas.importers.registry import IMPORTERS, Importer

__all__ = ["IMPORTERS", "Importer"]
