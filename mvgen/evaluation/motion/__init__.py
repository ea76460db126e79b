"""Synthetic performances with separately known head motion and expression, and the errors of builds on them."""
