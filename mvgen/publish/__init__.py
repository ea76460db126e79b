"""Share a finished dataset.

licence    what a source says: its terms, what may be published, what to cite
target     a place to publish to: folder, hub, bucket; address, which of them is meant
plan       what goes there, in which order
recipe     what it takes to build the dataset again, and what comes out
columns    what a published view holds; samples, how it is read from the dataset
parquet    views as Parquet; webdataset, as tar files
statement  what is said of a published dataset; card, to people; croissant, to machines
pixels     a dataset with its pixels, as files to publish
writing    a recipe, or the dataset itself, made ready to be published
rebuild    a dataset made from a recipe
"""
