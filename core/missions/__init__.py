"""Missions and tasks: state machines, the conductor, recovery, holds and approvals."""
