"""The portfolio as a node of outside OpenADR 3.1 VTNs: takes their events, answers, reports."""
