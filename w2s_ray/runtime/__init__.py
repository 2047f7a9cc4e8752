"""Ray, behind one door: no other room imports it. Loaded at the first step that the store does not have."""
