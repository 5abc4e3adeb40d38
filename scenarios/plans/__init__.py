"""Which loads a command sends, in which order: cells in sessions."""
