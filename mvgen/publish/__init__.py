"""Share a finished dataset.

licence    a source's terms, what may be published, what to cite
targets    where to publish: folder, Hub, bucket; address picks one of them
plan       the files to publish, in order
recipe     what is needed to rebuild the dataset, and the digests of the result
columns    the columns of a published view; samples reads them from the dataset
parquet    views as Parquet; webdataset, as tar files
statement  the facts about a published dataset; card and croissant write them for people and machines
pixels     a dataset with its pixels, as files to publish
writing    prepares a recipe, or the dataset itself, for publishing
rebuild    a dataset rebuilt from a recipe
"""
