"""Stand-ins: performances with ground truth, written in the releases' own layouts."""
