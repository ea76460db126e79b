"""Metrics and clips of known truth that tests, benchmarks and commands share."""
