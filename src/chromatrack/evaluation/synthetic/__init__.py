"""Rendered clips whose truth is known exactly."""
