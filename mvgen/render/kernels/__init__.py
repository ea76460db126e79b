"""Kernels of the grid renderer, in NVIDIA warp's language: one source for CPU and CUDA."""
