"""Readers of samples, one file for each kind of data.

base         entries, classes, and the interface of readers
store        a dataset that mvgen has built, also rendered from other angles
truth        the true side views of a stand-in that mvgen has built from
source       a release directly, through mvgen's own stages
flow_images  folders of precomputed onset-to-apex flow images
kept         a disk cache of samples that are slow to read
config       the choice of a reader by YAML or flags
"""
