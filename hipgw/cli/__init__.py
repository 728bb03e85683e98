"""The command line: arguments in, control socket out, tables or JSON back."""
