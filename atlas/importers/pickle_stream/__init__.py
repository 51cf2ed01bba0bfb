"""Streaming reader of pickled checkpoints, with compiled kernels of one loop each."""
