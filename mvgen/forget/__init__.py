"""A subject leaves: out of a store, and out of what was published of it.

store      a store, finished or not
published  a publication with its pixels, in a folder, on the Hub or in a bucket
"""
