"""The commands of `mvgen`, one file each, loaded only when called so that `mvgen --help` answers at once."""
