"""Kernels of the grid renderer, in NVIDIA Warp: one source for CPU and CUDA."""
