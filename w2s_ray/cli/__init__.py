"""The face: what a user types and sees. Nothing imports it."""
