"""The git door: the only package that starts git (domain.md §6).

It never discovers a repository, reads no configuration but its own, and only ever reads the
operator's repository, except to add one branch on request.
"""
