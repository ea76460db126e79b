"""The order of the stages: a clip from frames to views, and one photograph."""
