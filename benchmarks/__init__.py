"""`python -m benchmarks`: what this package costs, measured side by side with what one would use without it.

Every figure is a ratio to a baseline that ran in turns with it, on the same machine, within the same minutes: the
absolute numbers belong to the machine and to whatever else it does. `README.md` says what each ratio means.
"""
