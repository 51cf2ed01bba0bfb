"""Spill: sorted runs on the disk, earlier statistics, and the rows of a range of keys from all of them."""
