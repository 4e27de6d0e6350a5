"""Berths, bookings, fees and tides of a small guest harbour."""
