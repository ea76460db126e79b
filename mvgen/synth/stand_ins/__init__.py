"""Layouts of the stand-ins, one file per release."""
