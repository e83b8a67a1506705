"""Servers that speak a provider's wire protocol, for tests and outage drills; no account, no bill."""
