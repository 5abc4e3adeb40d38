"""What the studio owns."""
