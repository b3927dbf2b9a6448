"""Generated demo data: raw files of people making gestures, with every factor known and separately controllable."""
