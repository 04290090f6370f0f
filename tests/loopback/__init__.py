"""A distribution point on loopback and the clients that ask it, for the tests of `responder` and `pump`."""
