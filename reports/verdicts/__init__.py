"""What limits a route, at which line, and what to write instead: the judgement in sentences."""
