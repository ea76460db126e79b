"""How a store codes what is large: fields of flow and depth, and frames as video."""
