"""JSON-RPC 2.0 over the daemon's unix socket."""
