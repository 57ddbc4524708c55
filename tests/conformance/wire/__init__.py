"""An action's span against an SDK span: on the wire, to processors and to whoever touches it nothing may differ."""
