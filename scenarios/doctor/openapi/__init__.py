"""From an app's OpenAPI document to one example request per route, tried once before the load."""
