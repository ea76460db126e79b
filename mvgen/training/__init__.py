"""What is trained or made from 3D face scans: the depth network and the face model."""
