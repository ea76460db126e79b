"""The order of the stages, for a clip and for a single photograph."""
