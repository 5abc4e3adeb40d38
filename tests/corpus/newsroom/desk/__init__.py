"""What the newsroom works with."""
