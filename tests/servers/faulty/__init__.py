"""An S3 in memory that checks what it is sent, and fails when a key asks for it: `faulty.server.faulty`."""
