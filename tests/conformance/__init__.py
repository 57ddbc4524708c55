"""What an action must say of its end, as tables: ways of ending by ways of running."""
