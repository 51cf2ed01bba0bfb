"""Runtime: executors, resume, devices, memory, progress, compiled kernels."""
