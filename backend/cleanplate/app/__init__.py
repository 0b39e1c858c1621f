"""Joins the parts: the only place that picks concrete classes."""
