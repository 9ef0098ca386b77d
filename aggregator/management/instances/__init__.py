"""Dispatch instances as files: reading a portfolio that somebody brings, and writing the plan back."""
