"""A finished store in the forms that published code reads.

base         rows, the folder that is written, what is said about it
flow_images  trees of flow images, folds by subject
meb          arrays and a data frame for MEB
frames       frames as files, as loaders of the source read them
vqa          questions and answers, as in the MEGC challenge
"""
