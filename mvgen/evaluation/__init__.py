"""Metrics, and clips with ground truth, for tests, benchmarks and commands."""
