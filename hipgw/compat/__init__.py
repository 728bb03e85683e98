"""The seeds' own words on the control socket: hipconf, with HIPL's words and output."""
