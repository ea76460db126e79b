"""A finished store in the forms that published code reads, and as videos.

base         rows, the folder that is written, what is said about it
flow_images  trees of flow images, folds by subject
meb          arrays and a data frame for MEB
frames       frames as files, as loaders of the source read them
video        one clip with its views side by side, as MP4 or GIF
vqa          questions and answers, as in the MEGC challenge
"""
