"""Training of systems, their weights and their predictions."""
