"""Results that other codes wrote: their folders read, without running or trusting anything in them, into our schema."""
