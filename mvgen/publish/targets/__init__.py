"""Where a dataset is published to, one file each."""
