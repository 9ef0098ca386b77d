"""What every package may use: errors, money, units, time. Imports nothing of ours and no framework."""
