"""Every way in: command line, socket, daemon, window."""
