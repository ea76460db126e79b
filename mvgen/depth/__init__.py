"""Depth of a face from one photograph: the network, its backends, and its use."""
