"""The finished dataset on disk: where things lie, how a clip gets there safely, and how it is read back.

layout    names and relative paths
manifest  the rows, failures and markers that describe what lies there
split     which subjects are for training and which for testing
state     whether a folder may be built into, and by whom
writer    one clip, all or nothing
finish    the files that describe the whole; sheet, the contact sheet; about, `dataset.json`
reader    a torch `Dataset` over a finished store; views, of angles that were not built; items, what both give
refine    another attention threshold for a finished store
"""
