"""How work runs: executors, resume, devices, memory, progress, compiled kernels."""
