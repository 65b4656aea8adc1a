"""What the tracker is compared with: identity, optical flow, single-image colours."""
