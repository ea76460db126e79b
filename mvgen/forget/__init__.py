"""A subject leaves a store.

tombstones  who has left, and the removal of what a store holds of them
store       the act, on a store that is finished or not; `mvgen.publish.forget` is the same for a publication
"""
