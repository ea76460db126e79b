"""What heads look like: skin, eyes, hair, clothes, glasses, backgrounds."""
