"""What OpenTelemetry's Python packages mark as private, or say nothing of, and why it is read: here, and nowhere else.

Each module takes what it knows for granted only where it finds it so, and else does as the public names do: right, and dearer.
"""
