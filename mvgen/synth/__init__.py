"""Stand-ins: synthetic performances with ground truth, in the layouts of the releases."""
