"""Real work: HTTP clients, databases, files, CPU time."""
