"""Reduce phase: converts the rows of one range of keys to one Parquet part of each dataset."""
