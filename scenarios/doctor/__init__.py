"""Which routes of somebody's own app queue, behind what, and at which line: machinery of `atonce doctor`."""
