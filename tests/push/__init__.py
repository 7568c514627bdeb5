"""A push does not overtake the answer of its own request: with each kind of app."""
