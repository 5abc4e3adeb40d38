"""Tools that the assistant may call."""
