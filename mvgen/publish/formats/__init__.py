"""The formats that a dataset is published in, one file each."""
