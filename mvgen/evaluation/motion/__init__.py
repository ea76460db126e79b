"""Acted clips whose head motion and expression are known apart, and how far a build is from both."""
