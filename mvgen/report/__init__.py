"""Pages about finished stores: self-contained, static, and the same bytes for the same store.

facts     contents of the page: source, settings, counts, distributions
charts    data of the charts; the template draws them
layers    overlays of a view: valid, depth, flow, attention
signals   head pose, facial actions and flow of the clips in the viewer
surface   the surface of the clips in the 3D view
viewer    the clips and frames in the viewer, and their images
page      fills and writes the template
compare   a page of two stores side by side
"""
