"""One page to look at a finished store: self-contained, static, and the same bytes for the same store.

facts     what the page says: what was built from what, counts, distributions
charts    numbers made ready to be drawn; the template draws them
layers    what is laid over a picture: valid, depth, motion, attention
signals   head pose and facial actions of the clips that can be watched
viewer    which clips and frames can be watched, and their pictures
page      the template, filled and written
"""
