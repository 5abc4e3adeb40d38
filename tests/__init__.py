"""One file per file, and those that guard the house."""
