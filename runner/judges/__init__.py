"""Validator families behind the Judge port."""
