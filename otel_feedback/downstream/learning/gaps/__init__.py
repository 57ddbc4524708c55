"""Where success or quality is lower than elsewhere: slices of the outcomes, by more than chance, by what they cost."""
