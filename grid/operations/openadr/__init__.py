"""OpenADR 3.1, the VTN's side: objects kept, privacy held, changes told, events answered."""
