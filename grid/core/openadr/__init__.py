"""OpenADR 3.1 as pure rules: times, targets, topics, and what an event's payloads ask of a portfolio."""
