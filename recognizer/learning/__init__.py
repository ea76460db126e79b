"""Training a system, its weights, and what it says of clips."""
