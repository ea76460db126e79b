"""Shared by all rooms: records, camera, angles, config, errors, files."""
