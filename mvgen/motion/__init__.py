"""Motion in a clip: what the head does, what the face does."""
