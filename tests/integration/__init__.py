"""Tests that need real services."""
