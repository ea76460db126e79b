"""Optical flow: methods for pairs of frames, and one least-squares problem over all frames of a clip."""
