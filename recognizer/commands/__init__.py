"""The commands of `recognizer`, one file each; heavy modules are imported when a command runs."""
