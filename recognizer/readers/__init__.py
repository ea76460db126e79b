"""Readers: where samples come from, one file for each kind of place.

base         entries, classes, and what every reader has
store        a dataset that mvgen has built, also from angles that were not
truth        the true side views of a stand-in that was built
source       a release directly, through mvgen's own stages
flow_images  folders of precomputed onset-to-apex flow images
kept         samples that are costly to read, kept on the disk
config       which of them, as YAML and flags say it
"""
