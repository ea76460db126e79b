"""What `import mvgen` offers beside reading a store: the commands as functions."""
