"""The tests: one folder a room, and `loopback`, what several of them share."""
