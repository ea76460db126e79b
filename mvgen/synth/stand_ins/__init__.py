"""Stand-ins, one file for each release that they stand for."""
