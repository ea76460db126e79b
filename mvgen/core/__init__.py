"""What every room knows: records, camera, angles, config, errors, files."""
