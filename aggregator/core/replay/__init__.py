"""Replaying real charging sessions in virtual time: what each policy would have done with what it could know."""
