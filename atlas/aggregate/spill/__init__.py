"""Spill: sorted runs on disk and earlier statistics, read by range of keys."""
