"""The embedded model server of the rehearsal."""
