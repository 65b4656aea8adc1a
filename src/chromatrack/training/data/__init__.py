"""From folders to batches: listed, decoded, kept, cut into views."""
