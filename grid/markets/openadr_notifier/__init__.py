"""Telling OpenADR clients what changed: by call-back over HTTPS, or through the broker."""
