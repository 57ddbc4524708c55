"""The command line `otel-feedback`. `main` parses; each other module is one command or a part of one."""
