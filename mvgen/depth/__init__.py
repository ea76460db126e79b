"""Depth of a face from one photograph: the network, its training data, its training, and its use."""
