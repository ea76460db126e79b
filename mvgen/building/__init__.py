"""A build: from a source to a finished store, clip by clip."""
