"""Protocols, metrics, and the evaluation of a trained system."""
