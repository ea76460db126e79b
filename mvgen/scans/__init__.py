"""3D faces to learn from and to animate: parametric heads, their looks, and rays cast at them."""
