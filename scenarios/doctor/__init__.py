"""The driver of `atonce doctor`: which routes of an app queue, behind what, and at which line."""
