"""Where the shop keeps its data."""
