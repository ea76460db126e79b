"""A finished store as torch datasets: stored views, or views from any angle."""
