"""Real object stores on loopback, one process each, for the tests that talk to one."""
