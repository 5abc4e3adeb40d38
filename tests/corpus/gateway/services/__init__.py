"""One module for each service behind the gateway."""
