"""Kernels of the checkpoint reader: one loop each, compiled."""
