"""Photographs of heads: light, rendering and sensor."""
