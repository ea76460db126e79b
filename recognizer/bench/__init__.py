"""The bench: systems on kinds of training views, over folds and seeds, and its tables."""
