"""One file per benchmark data set: its layout, its protocol, its scores."""
