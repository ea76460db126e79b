"""How heads are photographed: light, lens and sensor."""
