"""`manage.py simulate`: reading recorded sessions, prices and factors, and writing what a replay of them shows."""
