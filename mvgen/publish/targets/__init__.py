"""The targets of publishing, one file each."""
