"""Benchmarks: systems on kinds of training views, over folds and seeds, and the tables of results."""
