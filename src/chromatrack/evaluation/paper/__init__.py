"""The paper's claims, measured and shown on one page."""
