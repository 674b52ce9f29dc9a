"""Tests of the languages of the interface."""
