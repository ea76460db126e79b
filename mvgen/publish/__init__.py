"""Share a finished dataset.

licence   what may be published of a source
target    where to
recipe    what it takes to build the dataset again, and what comes out
card      the README of a recipe
writing   a recipe made from a dataset
rebuild   a dataset made from a recipe
"""
