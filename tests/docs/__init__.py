"""README and architecture: what is written is true."""
