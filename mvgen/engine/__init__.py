"""Who runs the work items. An engine knows nothing of faces: items and a way to make a worker in, outcomes out."""
