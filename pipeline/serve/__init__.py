"""Trained encoders as a function from requests to answers."""
