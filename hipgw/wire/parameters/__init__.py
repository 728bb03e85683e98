"""Every parameter of the RFCs as a frozen value, one file per subject."""
