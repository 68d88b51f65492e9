"""Alerts: from what is wrong to somebody who reads it."""
