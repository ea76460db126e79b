"""The appearance of heads: skin, eyes, hair, clothes, glasses, backgrounds."""
