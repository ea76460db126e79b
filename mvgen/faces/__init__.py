"""From frames to a face: where it is, its one crop for a whole clip, and its landmarks."""
