"""Reads the rows of ../linux and writes what the sentry is built from. Entry point: ../generate.py."""
