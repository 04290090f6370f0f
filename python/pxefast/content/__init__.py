"""Content: boot images copied into a library of immutable files, and the names they are served under."""
