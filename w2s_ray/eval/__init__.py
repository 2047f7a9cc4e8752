"""What came out of a study: gold labels (firewalled), metrics, gap recovery, intervals, summaries. Nothing here is read
by a method."""
