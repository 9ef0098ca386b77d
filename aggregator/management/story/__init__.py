"""The story that the demonstration tells: a grid operator and a tenant who call our API, and a narrator who watches."""
