"""Training of the depth network and making of the face model, from 3D heads."""
