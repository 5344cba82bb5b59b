"""When to ask the service: rate limits, and how long generations take."""
